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

interface ImportOptions {
  to?: string;
  parents?: boolean;
  onConflict: 'fail' | 'skip' | 'overwrite';
}

export function addNodeTransfers(group: Command, cli: Cli): void {
  for (const [name, word, summary, ephemerals] of [
    ['cp', 'Copied', 'Copy a subtree', 'Ephemeral nodes are left out, and counted.'],
    [
      'mv',
      'Moved',
      'Move a subtree, or rename a node',
      'A subtree with ephemeral nodes cannot be moved (exit code 4).',
    ],
  ] as const) {
    addCommand(group, `${name} <path> <to>`, {
      summary,
      description: `${summary}, in one transaction. The new path must not exist (exit code 4), and its parent must. ${ephemerals}`,
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
      { line: 'weir node import app.ndjson --to /old/app -p', says: 'and create /old' },
      { line: 'weir node import app.ndjson --on-conflict skip', says: 'what exists stays as it is' },
    ],
  })
    .option('--to <path>', 'the path in place of that of the first line')
    .option('-p, --parents', 'create missing parents')
    .addOption(
      new Option('--on-conflict <how>', 'what to do with a node that has other data')
        .choices(['fail', 'skip', 'overwrite'])
        .default('fail'),
    )
    .action(async (file: string, options: ImportOptions) => importFrom(cli, file, options));
}

async function exportTo(cli: Cli, path: string, file: string | undefined): Promise<void> {
  await cli.tellCurl(nodeRequest(path, { view: 'export' }));
  const partial = file === undefined ? undefined : `${file}.partial`;
  try {
    if (partial === undefined) for await (const line of exportedLines(cli, path)) await cli.out.write(line);
    else await pipeline(exportedLines(cli, path), createWriteStream(partial, { mode: 0o600 }));
    if (partial !== undefined && file !== undefined) await rename(partial, file);
  } finally {
    if (partial !== undefined) await rm(partial, { force: true });
  }
}

/** The lines of an export; tells in the end what was left out. @throws WeirError if it breaks off */
async function* exportedLines(cli: Cli, path: string): AsyncGenerator<string, void, undefined> {
  const progress = new Progress(cli, (count) => `${countText(count)} nodes`);
  try {
    const nodes = (await cli.weir()).tree.export(path, { signal: cli.signal });
    for (let count = 1; ; count += 1) {
      const next = await nodes.next();
      yield `${JSON.stringify(next.value)}\n`;
      progress.show(count);
      if (!next.done) continue;
      const { nodes: exported, ephemerals, unreadable } = next.value;
      const left = [
        ephemerals > 0 ? `${ephemerals} ephemeral` : '',
        unreadable > 0 ? `subtrees that you may not read: ${unreadable}` : '',
      ].filter((text) => text !== '');
      progress.end();
      cli.out.note(
        `Exported ${countText(exported)} nodes${left.length === 0 ? '' : `; left out: ${left.join(', ')}`}.`,
      );
      return;
    }
  } finally {
    progress.end();
  }
}

async function importFrom(cli: Cli, file: string, { to, parents, onConflict }: ImportOptions): Promise<void> {
  const progress = new Progress(cli, sizeText);
  await cli.tellCurl(`/v1/import${queryText({ onConflict, parents, path: to, dryRun: cli.globals.dryRun })}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: '@-',
  });
  try {
    const total = await (await cli.weir()).tree.import(
      withEnds(linesOf(cli, file, (read, of) => progress.show(read, of))),
      {
        onConflict,
        parents: parents ?? false,
        dryRun: cli.globals.dryRun ?? false,
        signal: cli.signal,
        ...(to !== undefined && { path: nodePath(to) }),
      },
    );
    progress.end();
    await finish(cli, total);
  } catch (error) {
    if (error instanceof SyntaxError) throw usageError(`${file} has a line that is not JSON: ${error.message}`);
    throw error;
  } finally {
    progress.end();
  }
}

async function* withEnds(lines: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  for await (const line of lines) yield `${line}\n`;
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
