// Commands about sessions: ls, end.
import type { Command } from 'commander';
import type { Sessions } from '../api.ts';
import type { Cli } from '../cli.ts';
import { addCommand, addGroup } from '../help.ts';
import { confirm, dryRun } from '../input.ts';
import { allOf, queryText, resourcePath } from '../requests.ts';
import { printable } from '../table.ts';
import { spanText } from '../units.ts';

export function addSessionCommands(program: Command, cli: Cli): void {
  const group = addGroup(program, 'session', 'List sessions, and end them');

  addCommand(group, 'ls', {
    summary: 'List the sessions that you may see',
    examples: ['weir session ls', { line: 'weir session ls -o name', says: 'ids only' }],
  }).action(async () => {
    const page = (after: string | undefined) => `/v1/sessions${queryText({ limit: 1000, after })}`;
    const sessions = await allOf<Sessions, Sessions['sessions'][number]>(cli, page, (each) => each.sessions);
    const now = Date.now();
    await cli.out.show({
      body: { sessions },
      items: () => sessions,
      names: () => sessions.map(({ id }) => id),
      table: () => ({
        columns: ['SESSION', 'LABEL', 'TTL', 'EXPIRES IN', { title: 'NODES', right: true }, 'AGE', 'IDENTITY'],
        rows: sessions.map(({ id, label, ttlMs, expiresAt, ephemerals, createdAt, identity }) => [
          id,
          label === undefined ? undefined : printable(label),
          spanText(ttlMs),
          spanText(Math.max(0, expiresAt - now)),
          ephemerals,
          spanText(now - createdAt),
          identity,
        ]),
      }),
    });
  });

  addCommand(group, 'end <session>', {
    summary: 'End a session with all its ephemeral nodes',
    description:
      'Ends a session: by its handle, or by the id that weir session ls shows. The latter needs the loopback address of the server, or the identity of an administrator.',
    examples: [{ line: 'weir session end $SESSION --yes', says: 'an id, or a handle' }],
  }).action(async (session: string) => {
    dryRun(cli, `Would end the session ${session}.`);
    await confirm(cli, `End the session ${session} with all its ephemeral nodes?`);
    // A handle is a secret, and stands in no URL.
    if (session.includes('.')) {
      await cli.send({ method: 'DELETE', path: '/v1/sessions/self', headers: { 'weir-session': session } });
    } else await cli.send({ method: 'DELETE', path: resourcePath('sessions', session, '?force=true') });
  });
}
