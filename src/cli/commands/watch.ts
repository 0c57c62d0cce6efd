// Commands about changes of the tree: watch, and multi, which makes several at once.
import type { MultiResult, WatchTransaction } from '@weirkeeper/client';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { usageError } from '../errors.ts';
import { addCommand } from '../help.ts';
import { dryRun, readInput } from '../input.ts';
import { previewText } from '../node-text.ts';
import { nodePath, nodeRequest, queryText } from '../requests.ts';
import { printable } from '../table.ts';
import { integerFrom } from '../values.ts';

interface WatchFlags {
  recursive?: boolean;
  children?: boolean;
  data?: boolean;
  since?: number;
  count?: number;
}

export function addWatchCommands(program: Command, cli: Cli): void {
  addCommand(program, 'watch <path>', {
    summary: 'Print the changes of a node, or of everything below it',
    description:
      'Prints each change as it happens: its transaction, its kind, the path. It goes on by itself after the loss of a connection, and misses nothing. With -o ndjson each line is a transaction.',
    examples: [
      { line: 'weir watch /app -r --data', says: 'everything below, with the data', follows: true },
      { line: 'weir watch /app -r --since 0 -c 1', says: 'from the first change that is kept; ends after one' },
      { line: 'weir watch /app -r --since 0 -c 2 -o ndjson', says: 'for programs' },
    ],
  })
    .option('-r, --recursive', 'also everything below')
    .option('--children', 'only the list of children')
    .option('--data', 'with the data as they were written, up to 16 KiB')
    .option('--since <zxid>', 'first what has happened after this transaction', integerFrom(0))
    .option('-c, --count <number>', 'end after so many transactions', integerFrom(1))
    .action(async (path: string, flags: WatchFlags) => watch(cli, nodePath(path), flags));

  addCommand(program, 'multi <file>', {
    summary: 'Carry out several operations as one transaction',
    description:
      'Carries out the operations of a file, or of stdin for -, as one transaction: all of them, or none. The file is {"ops":[…]}, a list, or one operation a line, as POST /v1/multi takes them: check, create, set, delete.',
    examples: [
      { line: `echo '{"op":"set","path":"/app/colour","data":"red"}' | weir multi -` },
      {
        line: `printf '%s\\n' '{"op":"check","path":"/app","exists":true}' '{"op":"create","path":"/app/n-","sequential":true}' | weir multi - -o json`,
        says: 'several',
      },
    ],
  }).action(async (file: string) => multi(cli, file));
}

async function watch(cli: Cli, path: string, { recursive, children, data, since, count }: WatchFlags): Promise<void> {
  if (recursive && children) throw usageError('Give -r or --children, not both.');
  const mode = recursive ? 'recursive' : children ? 'children' : 'node';
  const url = `/v1/watch${nodeRequest(path).slice('/v1/nodes'.length)}${queryText({ mode, data, since })}`;
  await cli.tellCurl(url, { headers: { accept: 'text/event-stream' } });
  const weir = await cli.follow();
  const options = { mode, data: data ?? false, signal: cli.signal, ...(since !== undefined && { since }) } as const;
  const running = weir.watch(path, options);
  await running.started.then(
    (zxid) => cli.out.note(`Watching ${printable(path)} since transaction ${zxid}.`),
    () => {},
  );
  let left = count ?? Number.POSITIVE_INFINITY;
  for await (const transaction of running) {
    await print(cli, transaction, data ?? false);
    left -= 1;
    if (left === 0) return;
  }
  cli.throwUnlessEnded();
}

async function print(cli: Cli, transaction: WatchTransaction, isData: boolean): Promise<void> {
  const { zxid, events } = transaction;
  const { format } = cli.out;
  if (format === 'json' || format === 'ndjson' || format === 'raw') {
    const body = { zxid, events };
    await cli.out.line(format === 'json' ? JSON.stringify(body, undefined, 2) : JSON.stringify(body));
    return;
  }
  const colours = { created: 'green', deleted: 'red', changed: 'yellow', children: 'blue' } as const;
  for (const { type, path, data, encoding } of events) {
    if (format === 'name') {
      await cli.out.line(path);
      continue;
    }
    const written = encoding === 'base64' ? 'base64' : previewText(data ?? '');
    const text = isData && data !== undefined ? `  ${written}` : '';
    await cli.out.line(`${zxid}  ${cli.out.style(colours[type], type.padEnd(8))}  ${printable(path)}${text}`);
  }
}

async function multi(cli: Cli, file: string): Promise<void> {
  const text = new TextDecoder().decode(await readInput(cli, file));
  const ops = operationsOf(text);
  dryRun(cli, `Would carry out ${ops.length} operations.`);
  const body = await cli.json<MultiResult>({ method: 'POST', path: '/v1/multi', body: { ops } });
  await cli.out.show({
    body,
    items: () => body.results,
    names: () => body.results.map((result) => result.path),
    table: () => ({
      columns: ['OP', 'PATH', { title: 'VERSION', right: true }],
      rows: body.results.map((result) => [
        result.op,
        printable(result.path),
        'stat' in result ? result.stat?.version : undefined,
      ]),
    }),
  });
}

/** The operations of a multi: `{"ops":[…]}`, a list, or one a line. @throws CliError */
function operationsOf(text: string): unknown[] {
  const whole = jsonOf(text);
  if (Array.isArray(whole)) return whole;
  const { ops } = (whole ?? {}) as { ops?: unknown };
  if (Array.isArray(ops)) return ops;
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const each = lines.map((line, at) => {
    const op = jsonOf(line);
    if (op === undefined) throw usageError(`Line ${at + 1} is not an operation as JSON.`);
    return op;
  });
  if (each.length === 0) throw usageError('There are no operations.');
  return each;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
