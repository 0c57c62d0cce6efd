// Commands that take subtrees elsewhere: cp, mv, export, import.
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import type { CopyResult, ImportResult } from '../api.ts';
import type { Cli } from '../cli.ts';
import { CliError, exitCodes, usageError } from '../errors.ts';
import { addCommand } from '../help.ts';
import { dryRun, linesOf } from '../input.ts';
import { Progress } from '../progress.ts';
import { nodePath, nodeRequest, queryText } from '../requests.ts';
import { printable } from '../table.ts';
import { countText, sizeText } from '../units.ts';

/** Bytes of lines in one request of an import. */
const importBytes = 1024 * 1024;
/** How long the server may work at one request of an import, ms. */
const importWaitMs = 120_000;

interface ImportOptions {
  to?: string;
  onConflict: string;
}

export function addNodeTransfers(group: Command, cli: Cli): void {
  for (const [name, word, summary] of [
    ['cp', 'Copied', 'Copy a subtree'],
    ['mv', 'Moved', 'Move a subtree, or rename a node'],
  ] as const) {
    addCommand(group, `${name} <path> <to>`, {
      summary,
      description: `${summary}, in one transaction. The new path must not exist (exit code 4), and its parent must. Ephemeral nodes are left out of a copy.`,
      examples: [name === 'cp' ? 'weir node cp /app /app-copy' : 'weir node mv /app-copy /app-old'],
    }).action(async (path: string, to: string) => {
      const body = { from: nodePath(path), to: nodePath(to), move: name === 'mv' };
      dryRun(cli, `Would ${name === 'mv' ? 'move' : 'copy'} ${body.from} to ${body.to}.`);
      const result = await cli.json<CopyResult>({ method: 'POST', path: '/v1/copy', body });
      const left = result.ephemerals === 0 ? '' : `, ${result.ephemerals} ephemeral nodes left out`;
      await cli.out.show({
        body: result,
        names: () => [result.to],
        text: () => `${word} ${countText(result.nodes)} nodes to ${printable(result.to)}${left}`,
      });
    });
  }

  addCommand(group, 'export <path>', {
    summary: 'Print a subtree as lines of JSON',
    description:
      'Prints a node and everything below it as lines of JSON, which weir node import takes. Ephemeral nodes are left out, and counted. With -f the file is there only if it is complete.',
    examples: [
      'weir node export /app -f app.ndjson',
      { line: 'weir node export /app | gzip >app.gz', says: 'into a pipe' },
    ],
  })
    .option('-f, --file <file>', 'write to this file')
    .action(async (path: string, { file }: { file?: string }) => exportTo(cli, nodePath(path), file));

  addCommand(group, 'import <file>', {
    summary: 'Create the nodes of an export',
    description:
      'Creates the nodes of an export; - reads stdin. With --to they come to another path than they had. A node that exists with other data ends the import with exit code 4, unless --on-conflict says otherwise; what was created before stays, so the same import may be repeated. --dry-run counts what would be done, and its exit code is 7 if that is anything.',
    examples: [
      { line: 'weir node import app.ndjson --to /restored --dry-run', says: 'what would be done', exit: 7 },
      'weir node import app.ndjson --to /restored',
      { line: 'weir node import app.ndjson --on-conflict skip', says: 'what exists stays as it is' },
    ],
  })
    .option('--to <path>', 'the path in place of that of the first line')
    .addOption(
      new Option('--on-conflict <how>', 'what to do with a node that has other data')
        .choices(['fail', 'skip', 'overwrite'])
        .default('fail'),
    )
    .action(async (file: string, options: ImportOptions) => importFrom(cli, file, options));
}

async function exportTo(cli: Cli, path: string, file: string | undefined): Promise<void> {
  const weir = await cli.weir();
  const request = nodeRequest(path, { view: 'export' });
  await cli.tellCurl(request);
  const response = await weir.http.stream(request, {}, cli.signal);
  const lines = new ExportLines(cli);
  const partial = file === undefined ? undefined : `${file}.partial`;
  try {
    if (partial === undefined) for await (const chunk of lines.of(response)) await cli.out.write(chunk);
    else await pipeline(lines.of(response), createWriteStream(partial, { mode: 0o600 }));
    if (!lines.isComplete) throw new CliError('The export ended before its last line, so it is not complete.');
    if (partial !== undefined && file !== undefined) await rename(partial, file);
  } finally {
    lines.end();
    if (partial !== undefined) await rm(partial, { force: true });
  }
}

/** The bytes of an export as they come; knows whether the last line was that of the end. */
class ExportLines {
  readonly #cli: Cli;
  readonly #progress: Progress;
  #bytes = 0;
  /** The last bytes: the line of the end is short. */
  #tail = '';

  constructor(cli: Cli) {
    this.#cli = cli;
    this.#progress = new Progress(cli, sizeText);
  }

  get isComplete(): boolean {
    return /(^|\n)\{"end":true,[^\n]*\}\n$/.test(this.#tail);
  }

  async *of(response: Response): AsyncGenerator<Uint8Array, void, undefined> {
    const decoder = new TextDecoder();
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      this.#bytes += chunk.length;
      this.#tail = (this.#tail + decoder.decode(chunk, { stream: true })).slice(-1000);
      this.#progress.show(this.#bytes);
      yield chunk;
    }
  }

  /** Tells what was left out. */
  end(): void {
    this.#progress.end();
    const last = this.#tail.trimEnd().split('\n').at(-1);
    if (!this.isComplete || last === undefined) return;
    const { nodes, ephemerals, unreadable } = JSON.parse(last) as {
      nodes: number;
      ephemerals: number;
      unreadable: number;
    };
    const left = [
      ephemerals > 0 ? `${ephemerals} ephemeral` : '',
      unreadable > 0 ? `${unreadable} that you may not read` : '',
    ].filter((text) => text !== '');
    this.#cli.out.note(
      `Exported ${countText(nodes)} nodes${left.length === 0 ? '' : `; left out: ${left.join(', ')}`}.`,
    );
  }
}

async function importFrom(cli: Cli, file: string, { to, onConflict }: ImportOptions): Promise<void> {
  const target = to === undefined ? undefined : nodePath(to);
  const progress = new Progress(cli, sizeText);
  const query = queryText({ onConflict, dryRun: cli.globals.dryRun || undefined });
  const total: ImportResult = {
    lines: 0,
    created: 0,
    overwritten: 0,
    skipped: 0,
    same: 0,
    ephemerals: 0,
    complete: false,
    dryRun: cli.globals.dryRun ?? false,
  };
  const send = async (lines: readonly string[]) => {
    const result = await cli.json<ImportResult>({
      method: 'POST',
      path: `/v1/import${query}`,
      headers: { 'content-type': 'application/x-ndjson' },
      body: lines.join('\n'),
      waitMs: importWaitMs,
    });
    for (const name of ['lines', 'created', 'overwritten', 'skipped', 'same', 'ephemerals'] as const)
      total[name] += result[name];
  };
  let waiting: string[] = [];
  let bytes = 0;
  let first: string | undefined;
  let number = 0;
  try {
    for await (const line of linesOf(cli, file, (read, of) => progress.show(read, of))) {
      number += 1;
      if (line === '') continue;
      const node = nodeOf(line, number);
      if (node.end === true) {
        total.complete = true;
        continue;
      }
      first ??= node.path;
      const moved =
        target === undefined ? line : JSON.stringify({ ...node, path: movedPath(node.path, first, target) });
      waiting.push(moved);
      bytes += moved.length;
      if (bytes < importBytes) continue;
      await send(waiting);
      [waiting, bytes] = [[], 0];
    }
    cli.signal.throwIfAborted();
    if (waiting.length > 0) await send(waiting);
  } finally {
    progress.end();
  }
  await finish(cli, total);
}

async function finish(cli: Cli, total: ImportResult): Promise<void> {
  const { created, overwritten, skipped, same, ephemerals, complete, dryRun: isDry } = total;
  if (!complete) cli.out.note('The last line is not that of an export: the file may have been cut short.');
  const counts: [number, string][] = [
    [created, isDry ? 'would be created' : 'created'],
    [overwritten, isDry ? 'would be overwritten' : 'overwritten'],
    [skipped, 'skipped'],
    [same, 'the same already'],
    [ephemerals, 'ephemeral, left out'],
  ];
  const told = counts.filter(([count]) => count > 0).map(([count, what]) => `${countText(count)} ${what}`);
  await cli.out.show({ body: total, text: () => (told.length === 0 ? 'nothing to import' : told.join(', ')) });
  if (isDry && created + overwritten > 0) throw new CliError('', exitCodes.difference);
}

function nodeOf(line: string, number: number): { path: string; end?: true } {
  let node: unknown;
  try {
    node = JSON.parse(line);
  } catch {
    throw usageError(`Line ${number} is not JSON; an export has one node on each line.`);
  }
  const { path, end } = (node ?? {}) as { path?: unknown; end?: unknown };
  if (end !== true && typeof path !== 'string') throw usageError(`Line ${number} has no path of a node.`);
  return node as { path: string; end?: true };
}

/** The path of a node below `first`, below `target`. */
function movedPath(path: string, first: string, target: string): string {
  const prefix = first === '/' ? '' : first;
  if (path !== first && !path.startsWith(`${prefix}/`)) {
    throw usageError(`${path} is not below ${first}, the path of the first line, so --to says nothing about it.`);
  }
  const rest = path === first ? '' : path.slice(prefix.length);
  return target === '/' ? rest || '/' : target + rest;
}
