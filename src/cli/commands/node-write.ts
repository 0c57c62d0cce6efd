// Commands that write nodes: set, create, rm.
import type { CreatedNode, Stat } from '@weirkeeper/client';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { usageError } from '../errors.ts';
import { addCommand } from '../help.ts';
import { confirm, dryRun, readInput } from '../input.ts';
import { walk } from '../node-walk.ts';
import { nodePath, nodeRequest, type Query } from '../requests.ts';
import { printable } from '../table.ts';
import { integerFrom } from '../values.ts';

const sessionTtlMs = 10_000;

interface WriteOptions {
  file?: string;
  type?: string;
  parents?: boolean;
  ephemeral?: boolean;
  ttl?: string;
  container?: boolean;
  ifVersion?: number;
  sequential?: boolean;
}

export function addNodeWrites(group: Command, cli: Cli): void {
  const set = addCommand(group, 'set <path> [data]', {
    summary: 'Set the data of a node, or create it',
    description:
      'Sets the data of a node; creates it if it does not exist. The data are the argument, or a file, or stdin with -f -. With --if-version it is set only if nobody has set it since: exit code 4 if somebody has.',
    examples: [
      'weir node set /app/colour blue',
      { line: 'weir node set /app/colour green --if-version 1', says: 'only if nobody has set it since' },
      {
        line: `echo '{"limit":5}' | weir node set -p /app/limits/eu -f - --type application/json`,
        says: 'with its parents',
      },
      { line: 'weir node set /app/here me --ephemeral', says: 'exists until this command ends', follows: true },
    ],
  }).option('--if-version <version>', 'only if the node has this version', integerFrom(0));
  withKinds(set).action(async (path: string, data: string | undefined, options: WriteOptions) =>
    write(cli, nodePath(path), data, options, false),
  );

  const create = addCommand(group, 'create <path> [data]', {
    summary: 'Create a node',
    description:
      'Creates a node; exit code 4 if it exists. With --sequential the parent adds a number of ten digits to the name, and the path is printed.',
    examples: [
      'weir node create /app/size 7',
      { line: 'weir node create /app/task- --sequential', says: '/app/task-0000000001' },
    ],
  }).option('--sequential', 'add a number to the name, which the parent counts');
  withKinds(create).action(async (path: string, data: string | undefined, options: WriteOptions) =>
    write(cli, options.sequential ? path : nodePath(path), data, options, true),
  );

  addCommand(group, 'rm <path...>', {
    summary: 'Delete nodes',
    description:
      'Deletes nodes. With -r also everything below them, each subtree in one transaction; on a terminal it asks first. --dry-run lists what would be deleted.',
    examples: [
      'weir node rm /app/size',
      { line: 'weir node rm -r /tmp --dry-run', says: 'what would be deleted', exit: 7 },
      { line: 'weir node rm -r /tmp --yes', says: 'with everything below' },
    ],
  })
    .option('-r, --recursive', 'also everything below')
    .option('--if-version <version>', 'only if the node has this version', integerFrom(0))
    .action(async (paths: string[], options: { recursive?: boolean; ifVersion?: number }) => {
      for (const path of paths) await remove(cli, nodePath(path), options);
    });
}

/** The options by which a node is created. */
function withKinds(command: Command): Command {
  return command
    .option('-f, --file <file>', 'the file with the data; - is stdin')
    .option('--type <type>', 'the content type of the data; default text/plain, or application/octet-stream for bytes')
    .option('-p, --parents', 'create missing parents')
    .option('--ephemeral', 'the node exists until this command ends, or as long as the session of WEIR_SESSION')
    .option('--ttl <duration>', 'delete the node when it was not set for this time')
    .option('--container', 'delete the node once its last child is deleted');
}

async function write(
  cli: Cli,
  path: string,
  data: string | undefined,
  options: WriteOptions,
  isCreate: boolean,
): Promise<void> {
  const { parents, ephemeral, ttl, container, ifVersion, sequential, file } = options;
  if (data !== undefined && file !== undefined)
    throw usageError('Give the data as an argument or as a file, not both.');
  if (data === undefined && file === undefined && !isCreate) {
    throw usageError('Give the data as an argument, or with -f FILE; -f - reads stdin.');
  }
  if ([ephemeral, ttl !== undefined, container].filter(Boolean).length > 1) {
    throw usageError('A node is ephemeral, a container, or has a time to live: give one of the options.');
  }
  const body = file === undefined ? (data ?? '') : await readInput(cli, file);
  const type = options.type ?? (typeof body === 'string' || isText(body) ? 'text/plain' : 'application/octet-stream');
  dryRun(cli, `${isCreate ? 'Would create' : 'Would set'} ${path} with ${body.length} bytes.`);
  const mode = ephemeral ? 'ephemeral' : ttl !== undefined ? 'ttl' : container ? 'container' : undefined;
  const query: Query = { mode, ttl, parents, version: ifVersion };
  const put = async (handle?: string) => {
    const result = await cli.json<{ path: string; stat: Stat } | CreatedNode>({
      method: sequential ? 'POST' : 'PUT',
      path: sequential
        ? `/v1/nodes${encodeSegments(path)}${nodeRequest('', query).slice('/v1/nodes'.length)}`
        : nodeRequest(path, query),
      headers: {
        'content-type': type,
        ...(isCreate && !sequential && { 'if-none-match': '*' }),
        ...(handle !== undefined && { 'weir-session': handle }),
      },
      body,
    });
    await cli.out.show({
      body: result,
      names: () => [result.path],
      text: () => (isCreate ? printable(result.path) : `${printable(result.path)} version ${result.stat.version}`),
    });
  };
  await (ephemeral ? withSession(cli, put) : put());
}

/** The path of a sequential create: a slash at its end is meant. */
function encodeSegments(path: string): string {
  return (path.startsWith('/') ? path : `/${path}`).split('/').map(encodeURIComponent).join('/');
}

/**
 * Writes an ephemeral node with the session of the environment, or else with one that lives until the command is interrupted, and is
 * then ended with the node.
 */
async function withSession(cli: Cli, put: (handle: string) => Promise<void>): Promise<void> {
  const given = cli.io.env.WEIR_SESSION;
  if (given) return put(given);
  cli.isFollowing = true;
  const body = { ttl: sessionTtlMs, label: 'weir node' };
  const { session } = await cli.json<{ session: string }>({ method: 'POST', path: '/v1/sessions', body });
  const own = { path: '/v1/sessions/self', headers: { 'weir-session': session } };
  try {
    await put(session);
    cli.out.note('The node exists until this command ends. Ctrl-C ends it.');
    for (;;) {
      await cli.sleep(sessionTtlMs / 3);
      await cli.json({ ...own, method: 'PUT', isRepeatable: true });
    }
  } finally {
    await (await cli.weir()).http.send({ ...own, method: 'DELETE' });
  }
}

async function remove(
  cli: Cli,
  path: string,
  { recursive, ifVersion }: { recursive?: boolean; ifVersion?: number },
): Promise<void> {
  if (recursive && (cli.globals.dryRun || (!cli.globals.yes && cli.io.stdin.isTTY))) {
    const below: string[] = [];
    for await (const node of walk(cli, path)) below.push(node.path);
    if (cli.globals.dryRun) for (const each of [path, ...below]) await cli.out.line(printable(each));
    else await confirm(cli, `Delete ${printable(path)} and ${below.length} nodes below it?`);
  }
  dryRun(cli, `Would delete ${path}.`);
  await cli.send({ method: 'DELETE', path: nodeRequest(path, { recursive, version: ifVersion }) });
  if (cli.out.format === 'name') await cli.out.line(path);
}

function isText(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
