// Commands that read the tree: ls, tree, get, diff, history. Those that write it are in node-write.ts and node-edit.ts.
import type { Stat } from '@weirkeeper/client';
import { type Command, Option } from 'commander';
import type { EventHistory, NodeView } from '../api.ts';
import type { Cli } from '../cli.ts';
import { CliError, exitCodes } from '../errors.ts';
import { addCommand, addGroup } from '../help.ts';
import { previewText, statTable } from '../node-text.ts';
import { childrenOf, type WalkedNode, walk } from '../node-walk.ts';
import { nodePath, nodeRequest, queryText } from '../requests.ts';
import { printable, type Table } from '../table.ts';
import { sizeText, timeText } from '../units.ts';
import { integerFrom } from '../values.ts';
import { addNodeEdits } from './node-edit.ts';
import { addNodeTransfers } from './node-transfer.ts';
import { addNodeTree } from './node-tree.ts';
import { addNodeWrites } from './node-write.ts';

/** Nodes that are read at the same time. */
const readersMax = 16;

export function addNodeCommands(program: Command, cli: Cli): void {
  const group = addGroup(program, 'node', 'Read and change the tree');

  addCommand(group, 'ls [path]', {
    summary: 'List the children of a node',
    examples: [
      'weir node ls /app',
      { line: 'weir node ls -l /app', says: 'with version, size, time and owner' },
      { line: 'weir node ls -R /app', says: 'everything below' },
    ],
  })
    .option('-l, --long', 'with version, size, number of children, time of change, owner')
    .option('-R, --recursive', 'everything below, as paths')
    .action(async (path: string | undefined, options: { long?: boolean; recursive?: boolean }) =>
      list(cli, nodePath(path ?? '/'), options),
    );

  addNodeTree(group, cli);

  addCommand(group, 'get <path>', {
    summary: 'Print the data of a node',
    description:
      'Prints the data of a node as they are. On a terminal a line feed is added if the data do not end with one, and control characters are shown as escapes.',
    examples: [
      'weir node get /app/colour',
      { line: 'weir node get /app/colour --stat', says: 'versions, times, owner' },
      { line: 'weir node get /app/colour -o json', says: 'both, as JSON' },
      { line: 'weir node get /app/colour --watch', says: 'and again after each change', follows: true },
    ],
  })
    .option('--stat', 'the stat in place of the data')
    .option('--watch', 'print it again after each change, until the node is deleted')
    .action(async (path: string, options: { stat?: boolean; watch?: boolean }) =>
      options.watch ? follow(cli, nodePath(path)) : get(cli, nodePath(path), options.stat ?? false),
    );

  addCommand(group, 'diff <path> <other>', {
    summary: 'Compare two subtrees',
    description:
      'Compares the names and data of everything below two nodes, and of the nodes themselves. Prints a line for each difference: + only in the other one, - only in the first one, ~ with other data. The exit code is 7 if there is one.',
    examples: [{ line: 'weir node diff /app /copy', exit: 7 }, 'weir node diff /app /app'],
  }).action(async (path: string, other: string) => diff(cli, nodePath(path), nodePath(other)));

  addCommand(group, 'history [path]', {
    summary: 'Show past changes of a node and of everything below it, the newest first',
    examples: [
      'weir node history /app',
      { line: 'weir node history /app/colour -n 5 --data', says: 'with what was written' },
    ],
  })
    .addOption(new Option('-n, --limit <count>', 'how many transactions').argParser(integerFrom(1)).default(20))
    .option('--data', 'with the data as they were written')
    .action(async (path: string | undefined, options: { limit: number; data?: boolean }) =>
      history(cli, path === undefined ? undefined : nodePath(path), options),
    );

  addNodeWrites(group, cli);
  addNodeEdits(group, cli);
  addNodeTransfers(group, cli);
}

async function list(
  cli: Cli,
  path: string,
  { long, recursive }: { long?: boolean; recursive?: boolean },
): Promise<void> {
  const nodes = recursive ? walk(cli, path) : listed(cli, path);
  const isStreamed = !long && cli.out.format !== 'json';
  const found: WalkedNode[] = [];
  for await (const node of nodes) {
    if (!isStreamed) found.push(node);
    else if (cli.out.format === 'ndjson')
      await cli.out.line(JSON.stringify({ name: node.name, path: node.path, stat: node.stat }));
    else await cli.out.line(nameOf(cli, node, recursive ?? false));
  }
  if (isStreamed) return;
  const children = found.map(({ path: of, name, stat }) => ({ ...(recursive && { path: of }), name, stat }));
  await cli.out.show({
    body: { path, children },
    names: () => found.map((each) => each.path),
    items: () => children,
    table: () => longTable(cli, found, recursive ?? false),
  });
}

async function* listed(cli: Cli, path: string): AsyncGenerator<WalkedNode, void, undefined> {
  for await (const { name, stat } of childrenOf(cli, path)) {
    yield { name, stat, path: path === '/' ? `/${name}` : `${path}/${name}`, depth: 1 };
  }
}

function nameOf(cli: Cli, { path, name, stat }: WalkedNode, isPath: boolean): string {
  const text = isPath || cli.out.format === 'name' ? path : name;
  if (!cli.out.isTerminal) return text;
  return stat.numChildren > 0 ? cli.out.style('blue', printable(text)) : printable(text);
}

function longTable(cli: Cli, nodes: readonly WalkedNode[], isPath: boolean): Table {
  return {
    columns: [
      { title: 'VERSION', right: true },
      { title: 'SIZE', right: true },
      { title: 'CHILDREN', right: true },
      'CHANGED',
      'OWNER',
      'NAME',
    ],
    rows: nodes.map((node) => {
      const { version, dataLength, numChildren, mtime, ephemeralOwner } = node.stat;
      const name = cli.out.isTerminal ? nameOf(cli, node, isPath) : printable(isPath ? node.path : node.name);
      return [version, sizeText(dataLength), numChildren, timeText(mtime), ephemeralOwner, name];
    }),
  };
}

async function get(cli: Cli, path: string, isStat: boolean): Promise<void> {
  if (isStat) {
    const body = await cli.json<{ path: string; stat: Stat }>({ path: nodeRequest(path, { view: 'stat' }) });
    return cli.out.show({ body, table: () => statTable(path, body.stat), names: () => [path] });
  }
  const { format } = cli.out;
  if (format === 'json' || format === 'ndjson' || format === 'name') {
    const body = await cli.json<NodeView>({ path: nodeRequest(path, { view: 'node' }) });
    return cli.out.show({ body, names: () => [path] });
  }
  const response = await cli.send({ path: nodeRequest(path) });
  return writeData(cli, new Uint8Array(await response.arrayBuffer()));
}

/** Data as they are; on a terminal so that they cannot do more than stand there. */
async function writeData(cli: Cli, bytes: Uint8Array): Promise<void> {
  if (!cli.out.isTerminal || cli.out.format === 'raw') return cli.out.write(bytes);
  const text = new TextDecoder().decode(bytes);
  const shown = text.split('\n').map(printable).join('\n');
  await cli.out.write(shown.endsWith('\n') || shown === '' ? shown : `${shown}\n`);
}

async function follow(cli: Cli, path: string): Promise<void> {
  const weir = await cli.follow();
  await cli.tellCurl(`/v1/watch${nodeRequest(path).slice('/v1/nodes'.length)}${queryText({ data: true })}`, {
    headers: { accept: 'text/event-stream' },
  });
  const watch = weir.watch(path, { onCompacted: 'resync', signal: cli.signal });
  await watch.started.catch(() => cli.throwUnlessEnded());
  let version: number | undefined;
  const print = async () => {
    const node = await weir.tree.get(path, { signal: cli.signal });
    if (!node) return false;
    if (node.stat.mzxid === version) return true;
    version = node.stat.mzxid;
    if (cli.out.format === 'json' || cli.out.format === 'ndjson') {
      await cli.out.show({ body: { path, data: node.text, contentType: node.contentType, stat: node.stat } });
    } else {
      await writeData(cli, node.bytes);
      if (!cli.out.isTerminal && !node.text.endsWith('\n')) await cli.out.write('\n');
    }
    return true;
  };
  if (!(await print())) throw new CliError(`Node ${path} does not exist.`, exitCodes.notFound);
  for await (const _ of watch) if (!(await print())) return;
  cli.throwUnlessEnded();
}

async function diff(cli: Cli, path: string, other: string): Promise<void> {
  const [first, second] = await Promise.all([subtree(cli, path), subtree(cli, other)]);
  const names = [...new Set([...first.keys(), ...second.keys()])].sort();
  const differences = names.flatMap((name) => {
    const [a, b] = [first.get(name), second.get(name)];
    if (a === b) return [];
    const kind = a === undefined ? '+' : b === undefined ? '-' : '~';
    return [{ kind, path: kind === '+' ? other + name : path + name, data: a, otherData: b }];
  });
  const colours = { '+': 'green', '-': 'red', '~': 'yellow' } as const;
  const textOf = ({ kind, path: at, data, otherData }: (typeof differences)[number]) => {
    const change = kind === '~' ? `  ${previewText(data ?? '', 40)} → ${previewText(otherData ?? '', 40)}` : '';
    return cli.out.style(colours[kind as keyof typeof colours], `${kind} ${printable(at || '/')}${change}`);
  };
  if (differences.length > 0 || cli.out.format !== undefined) {
    await cli.out.show({
      body: { differences },
      items: () => differences,
      names: () => differences.map(({ path: at }) => at || '/'),
      text: () => differences.map(textOf).join('\n'),
    });
  }
  if (differences.length > 0) throw new CliError('', exitCodes.difference);
}

/** The data of a node and of all nodes below it. @returns data by relative path: "" for the node itself, "/a" for its child */
async function subtree(cli: Cli, path: string): Promise<Map<string, string>> {
  const prefix = path === '/' ? '' : path;
  const dataOf = async (at: string) => {
    const { data, encoding } = await cli.json<NodeView>({ path: nodeRequest(at, { view: 'node' }) });
    return encoding === 'base64' ? `base64:${data}` : data;
  };
  const paths = [path];
  for await (const { path: below } of walk(cli, path)) paths.push(below);
  const found = new Map<string, string>();
  const read = async () => {
    for (let at = paths.pop(); at !== undefined; at = paths.pop()) {
      found.set(at === path ? '' : at.slice(prefix.length), await dataOf(at));
    }
  };
  await Promise.all(Array.from({ length: readersMax }, read));
  return found;
}

async function history(
  cli: Cli,
  path: string | undefined,
  { limit, data }: { limit: number; data?: boolean },
): Promise<void> {
  const body = await cli.json<EventHistory>({ path: `/v1/events${queryText({ path, limit, data })}` });
  const rows = body.transactions.flatMap(({ zxid, events }) =>
    events.map(({ type, path: of, stat, data: written, encoding }) => [
      zxid,
      stat ? timeText(type === 'created' ? stat.ctime : stat.mtime) : undefined,
      type,
      printable(of),
      ...(data ? [encoding === 'base64' ? 'base64' : previewText(written ?? '')] : []),
    ]),
  );
  await cli.out.show({
    body,
    items: () => body.transactions,
    names: () => [...new Set(body.transactions.flatMap(({ events }) => events.map((event) => event.path)))],
    table: () => ({
      columns: [{ title: 'ZXID', right: true }, 'SET', 'CHANGE', 'PATH', ...(data ? ['DATA'] : [])],
      rows,
    }),
  });
}
