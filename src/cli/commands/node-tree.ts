// Draws a subtree, once or after each change.
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { addCommand } from '../help.ts';
import { type WalkedNode, walk } from '../node-walk.ts';
import { nodePath } from '../requests.ts';
import { printable } from '../table.ts';
import { integerFrom } from '../values.ts';

/** Lines of a drawing; what is below is counted. */
const linesMax = 10_000;
/** How long changes are gathered before the tree is drawn again. */
const redrawMs = 100;

interface TreeOptions {
  depth?: number;
  live?: boolean;
}

export function addNodeTree(group: Command, cli: Cli): void {
  addCommand(group, 'tree [path]', {
    summary: 'Draw a subtree',
    examples: [
      'weir node tree /app --depth 2',
      { line: 'weir node tree /brokers --live', says: 'draw it again when it changes', follows: true },
    ],
  })
    .option('--depth <levels>', 'how many levels below the node', integerFrom(0))
    .option('--live', 'draw it again when it changes')
    .action(async (path: string | undefined, options: TreeOptions) => {
      const at = nodePath(path ?? '/');
      await (options.live ? live(cli, at, options) : draw(cli, at, options));
    });
}

async function draw(cli: Cli, path: string, { depth, live: isLive }: TreeOptions): Promise<void> {
  const nodes: WalkedNode[] = [];
  let left = 0;
  for await (const node of walk(cli, path, depth === undefined ? {} : { depth })) {
    if (nodes.length < linesMax) nodes.push(node);
    else left += 1;
  }
  const text = () => [printable(path), ...branches(cli, nodes), ...(left > 0 ? [`… ${left} more`] : [])].join('\n');
  if (isLive && cli.out.isTerminal && cli.out.format === undefined) return cli.out.screen(text());
  const body = { path, nodes: nodes.map(({ path: of, stat }) => ({ path: of, stat })), leftOut: left };
  await cli.out.show({
    body,
    items: () => body.nodes,
    names: () => nodes.map((node) => node.path),
    text,
  });
}

/** The lines of a drawing. A node is the last of its parent if no later one of the same depth comes before one of a lower depth. */
function branches(cli: Cli, nodes: readonly WalkedNode[]): string[] {
  const lines: string[] = [];
  // By depth: whether the branch goes on below this line.
  const goesOn: boolean[] = [];
  for (let at = nodes.length - 1; at >= 0; at -= 1) {
    const node = nodes[at];
    if (!node) continue;
    const { depth, name, stat } = node;
    const isLast = !goesOn[depth];
    goesOn[depth] = true;
    goesOn.length = depth + 1;
    const indent = Array.from({ length: depth - 1 }, (_, level) => (goesOn[level + 1] ? '│   ' : '    ')).join('');
    const owner = stat.ephemeralOwner === null ? '' : cli.out.style('yellow', ' (ephemeral)');
    lines.push(`${indent}${isLast ? '└── ' : '├── '}${printable(name)}${owner}`);
  }
  return lines.reverse();
}

async function live(cli: Cli, path: string, options: TreeOptions): Promise<void> {
  const weir = await cli.follow();
  const watch = weir.watch(path, { mode: 'recursive', onCompacted: 'resync', signal: cli.signal });
  await watch.started.catch(() => cli.throwUnlessEnded());
  let isFirst = true;
  const redraw = async () => {
    if (!isFirst && !cli.out.isTerminal) await cli.out.write('\n');
    isFirst = false;
    await draw(cli, path, options);
  };
  // Changes that come while the tree is drawn have it drawn once more, however many there are.
  let isStale = true;
  let isOver = false;
  let wake = () => {};
  const changes = (async () => {
    try {
      for await (const _ of watch) {
        isStale = true;
        wake();
      }
    } finally {
      isOver = true;
      wake();
    }
  })();
  changes.catch(() => {});
  while (!isOver) {
    if (isStale) {
      isStale = false;
      await redraw();
      await cli.sleep(redrawMs);
    } else {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
  await changes;
  cli.throwUnlessEnded();
}
