// Commands about consumer groups: ls, describe, lag, reset, commit, rm.
import type { Command } from 'commander';
import type { CommittedOffsetsNow, Group, Groups, OffsetsReset } from '../api.ts';
import type { Cli } from '../cli.ts';
import { CliError, exitCodes, usageError } from '../errors.ts';
import { addCommand, addGroup } from '../help.ts';
import { confirm, dryRun } from '../input.ts';
import { momentMs } from '../moments.ts';
import { allOf, queryText, resourcePath } from '../requests.ts';
import { type Table, tableLines } from '../table.ts';
import { countText, spanText } from '../units.ts';

/** How often a group that is watched is read. */
const watchMs = 1000;

export function addGroupCommands(program: Command, cli: Cli): void {
  const group = addGroup(program, 'group', 'Describe consumer groups, and move their offsets');

  addCommand(group, 'ls', {
    summary: 'List the groups with their lag',
    examples: ['weir group ls', { line: 'weir group ls -o name', says: 'names only' }],
  }).action(async () => list(cli));

  addCommand(group, 'describe <group>', {
    summary: 'Show the members of a group, its partitions and their lag',
    examples: [
      'weir group describe billing',
      { line: 'weir group describe billing --watch', says: 'each second', follows: true },
    ],
  })
    .option('--watch', 'show it again each second')
    .action(async (name: string, options: { watch?: boolean }) => {
      if (options.watch) await cli.follow();
      const show = async () => {
        const body = await cli.json<Group>({ path: resourcePath('groups', name) });
        if (options.watch && cli.out.isTerminal && cli.out.format === undefined)
          return cli.out.screen(groupText(cli, body));
        await cli.out.show({ body, text: () => groupText(cli, body), names: () => [body.groupId] });
      };
      await show();
      while (options.watch && !cli.signal.aborted) {
        await cli.sleep(watchMs).catch(() => {});
        if (!cli.signal.aborted) await show();
      }
      cli.throwUnlessEnded();
    });

  addCommand(group, 'lag <group>', {
    summary: 'Show how far a group is behind, and for how long',
    description:
      'Shows the lag of each partition: how many records the group has yet to read, and how long ago the first of them was appended. -o name prints the sum.',
    examples: ['weir group lag billing', { line: 'weir group lag billing -o name', says: 'the sum' }],
  }).action(async (name: string) => lag(cli, name));

  addCommand(group, 'reset <group>', {
    summary: 'Move the committed offsets of a group without members',
    description:
      'Moves the committed offsets of a group: to an end of the log, a moment, an offset, or by a number of records. The group must have no members. --dry-run prints what would be committed; its exit code is 7 if that is something else than now.',
    examples: [
      { line: 'weir group reset billing --to earliest --dry-run', exit: 7 },
      'weir group reset billing --to earliest',
      { line: 'weir group reset billing --to @1h --topic clicks', says: 'an hour ago' },
      { line: 'weir group reset billing --by -1', says: 'one record back' },
    ],
  })
    .option('--to <where>', 'earliest, latest, an offset, or @TIME')
    .option('--by <number>', 'so many records on, or back if it is negative')
    .option('--topic <topic...>', 'only these topics')
    .action(async (name: string, options: { to?: string; by?: string; topic?: string[] }) => reset(cli, name, options));

  addCommand(group, 'commit <group> <topic:partition=offset...>', {
    summary: 'Commit offsets for a group without members',
    description: 'Commits offsets for a group that has no members; a group that does not exist is created.',
    examples: ['weir group commit billing clicks:0=1'],
  }).action(async (name: string, texts: string[]) => {
    const offsets = texts.map(committedOf);
    dryRun(cli, `Would commit ${texts.join(' ')}.`);
    const body = await cli.json<CommittedOffsetsNow>({
      method: 'POST',
      path: resourcePath('groups', name, '/offsets'),
      body: { offsets },
    });
    await cli.out.show({
      body,
      items: () => body.offsets,
      table: () => ({
        columns: ['TOPIC', { title: 'PARTITION', right: true }, { title: 'OFFSET', right: true }],
        rows: body.offsets.map(({ topic, partition, offset }) => [topic, partition, offset]),
      }),
    });
  });

  addCommand(group, 'rm <group...>', {
    summary: 'Delete groups without members, with their committed offsets',
    examples: ['weir group rm retired --yes'],
  }).action(async (names: string[]) => {
    dryRun(cli, `Would delete ${names.join(', ')}.`);
    await confirm(cli, `Delete ${names.join(', ')} with all committed offsets?`);
    for (const name of names) await cli.send({ method: 'DELETE', path: resourcePath('groups', name) });
  });
}

async function list(cli: Cli): Promise<void> {
  const page = (after: string | undefined) => `/v1/groups${queryText({ view: 'summary', after })}`;
  const groups = await allOf<Groups, Groups['groups'][number]>(cli, page, (each) => each.groups);
  await cli.out.show({
    body: { groups },
    items: () => groups,
    names: () => groups.map(({ groupId }) => groupId),
    table: () => ({
      columns: ['GROUP', 'STATE', { title: 'MEMBERS', right: true }, { title: 'LAG', right: true }, 'TOPICS'],
      rows: groups.map(({ groupId, state, members, lag: behind, topics = [] }) => [
        groupId,
        state,
        members,
        behind === null || behind === undefined ? '?' : countText(behind),
        topics.join(', '),
      ]),
    }),
  });
}

function groupText(cli: Cli, { groupId, state, assignor, groupEpoch, members, partitions }: Group): string {
  const title = (text: string) => cli.out.style('bold', text);
  const memberTable: Table = {
    columns: ['MEMBER', 'STATE', { title: 'EPOCH', right: true }, 'ADDRESS', 'JOINED', 'PARTITIONS'],
    rows: members.map((member) => [
      member.memberId,
      member.away ? 'away' : member.state,
      member.memberEpoch,
      member.address,
      member.joinedAt === undefined ? undefined : `${spanText(Date.now() - member.joinedAt)} ago`,
      member.assignment.map(({ topic, partitions: all }) => `${topic}:${all.join(',')}`).join(' '),
    ]),
  };
  const total = partitions.reduce((sum, each) => sum + (each.lag ?? 0), 0);
  const partitionTable: Table = {
    columns: [
      'TOPIC',
      ...['PARTITION', 'COMMITTED', 'END', 'LAG'].map((each) => ({ title: each, right: true })),
      'OWNER',
    ],
    rows: partitions.map((each) => [each.topic, each.partition, each.committed, each.endOffset, each.lag, each.owner]),
  };
  return [
    `${groupId}: ${state}, ${members.length} member${members.length === 1 ? '' : 's'}, epoch ${groupEpoch}, assignor ${assignor}, lag ${countText(total)}`,
    ...(members.length === 0 ? [] : ['', ...tableLines(memberTable, title)]),
    '',
    ...tableLines(partitionTable, title),
  ].join('\n');
}

async function lag(cli: Cli, name: string): Promise<void> {
  const body = await cli.json<Group>({ path: resourcePath('groups', name, '?ages=true') });
  const total = body.partitions.reduce((sum, each) => sum + (each.lag ?? 0), 0);
  await cli.out.show({
    body,
    items: () => body.partitions,
    names: () => [String(total)],
    table: () => ({
      columns: ['TOPIC', { title: 'PARTITION', right: true }, { title: 'LAG', right: true }, 'BEHIND', 'FROM'],
      rows: [
        ...body.partitions.map(({ topic, partition, lag: behind, lagMs, lagFrom }) => [
          topic,
          partition,
          behind,
          lagMs === null || lagMs === undefined ? undefined : spanText(lagMs),
          lagFrom,
        ]),
        ['total', '', total, '', ''],
      ],
    }),
  });
}

async function reset(
  cli: Cli,
  name: string,
  { to, by, topic: topics }: { to?: string; by?: string; topic?: string[] },
): Promise<void> {
  const { dryRun: isDry } = cli.globals;
  const body = await cli.json<OffsetsReset>({
    method: 'POST',
    path: resourcePath('groups', name, '/offsets/reset'),
    body: { to: resetTarget(to, by), ...(topics && { topics }), ...(isDry && { dryRun: true }) },
  });
  await cli.out.show({
    body,
    items: () => body.offsets,
    table: () => ({
      columns: [
        'TOPIC',
        ...['PARTITION', 'BEFORE', isDry ? 'WOULD BE' : 'NOW'].map((title) => ({ title, right: true })),
      ],
      rows: body.offsets.map(({ topic, partition, offset, previous }) => [topic, partition, previous, offset]),
    }),
  });
  if (isDry && body.offsets.some(({ offset, previous }) => offset !== previous)) {
    throw new CliError('', exitCodes.difference);
  }
}

function resetTarget(to: string | undefined, by: string | undefined): unknown {
  if (to !== undefined && by !== undefined) throw usageError('Give --to or --by, not both.');
  if (to === undefined && by === undefined)
    throw usageError('Say where to: --to earliest, --to @1h, --to OFFSET, or --by NUMBER.');
  if (by !== undefined) {
    if (!/^[+-]?\d{1,15}$/.test(by)) throw usageError(`--by is "${by}"; it is a number of records, such as -10.`);
    return { shiftBy: Number(by) };
  }
  if (to === 'earliest' || to === 'latest') return to;
  if (to !== undefined && /^\d{1,15}$/.test(to)) return { offset: Number(to) };
  if (to?.startsWith('@')) return { timestamp: momentMs(to, Date.now()) };
  throw usageError(`--to is "${to}"; it is earliest, latest, an offset, or @TIME.`);
}

function committedOf(text: string): { topic: string; partition: number; offset: number } {
  const [, topic, partition, offset] = /^([^:]+):(\d{1,9})=(\d{1,15})$/.exec(text) ?? [];
  if (topic === undefined) throw usageError(`"${text}" is no topic:partition=offset, such as clicks:0=42.`);
  return { topic, partition: Number(partition), offset: Number(offset) };
}
