// Edits the data of a node in the user's editor, and writes them if nobody else has changed them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Stat } from '@weirkeeper/client';
import type { Command } from 'commander';
import type { NodeView } from '../api.ts';
import type { Cli } from '../cli.ts';
import { CliError, exitCodes } from '../errors.ts';
import { addCommand } from '../help.ts';
import { dryRun } from '../input.ts';
import { nodePath, nodeRequest } from '../requests.ts';
import { printable } from '../table.ts';

export function addNodeEdits(group: Command, cli: Cli): void {
  addCommand(group, 'edit <path>', {
    summary: 'Edit the data of a node in your editor',
    description:
      'Opens the data of a node in the editor of VISUAL or EDITOR. They are written only if nobody has set them meanwhile; otherwise the exit code is 4, and your text stays in a file.',
    examples: [
      { line: `EDITOR='sed -i s/blue/green/' weir node edit /app/colour`, says: 'any command that takes a file' },
    ],
  }).action(async (path: string) => edit(cli, nodePath(path)));
}

async function edit(cli: Cli, path: string): Promise<void> {
  const { isWeirError } = await import('@weirkeeper/client');
  const node = await cli.json<NodeView>({ path: nodeRequest(path, { view: 'node' }) });
  const before = Buffer.from(node.data, node.encoding === 'base64' ? 'base64' : 'utf8');
  // Only the user can read the folder, so nobody else can read the file.
  const folder = await mkdtemp(join(tmpdir(), 'weir-edit-'));
  const file = join(folder, `${path.split('/').at(-1) || 'root'}${node.contentType.includes('json') ? '.json' : ''}`);
  let isKept = false;
  try {
    await writeFile(file, before, { mode: 0o600 });
    await runEditor(cli, file);
    const after = await readFile(file);
    if (after.equals(before)) {
      cli.out.note('Nothing was changed.');
      return;
    }
    dryRun(cli, `Would set ${path} to ${after.length} bytes.`);
    const request = {
      method: 'PUT' as const,
      path: nodeRequest(path),
      headers: { 'content-type': node.contentType, 'if-match': `"${node.stat.mzxid}"` },
      body: new Uint8Array(after),
    };
    const result = await cli.json<{ path: string; stat: Stat }>(request).catch((error: unknown) => {
      isKept = true;
      if (!isWeirError(error)) throw error;
      const code = error.status === 412 ? exitCodes.conflict : exitCodes.refused;
      throw new CliError(`${error.detail}\nYour text is in ${file}.`, code);
    });
    await cli.out.show({
      body: result,
      names: () => [path],
      text: () => `${printable(path)} version ${result.stat.version}`,
    });
  } finally {
    if (!isKept) await rm(folder, { recursive: true, force: true });
  }
}

/** Runs the editor, which may be a command with options. */
async function runEditor(cli: Cli, file: string): Promise<void> {
  const { VISUAL, EDITOR } = cli.io.env;
  const editor = VISUAL || EDITOR || 'vi';
  const child = spawn('/bin/sh', ['-c', `${editor} "$1"`, 'sh', file], { stdio: 'inherit', env: { ...cli.io.env } });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new CliError(`The editor "${editor}" ended with ${code ?? 'a signal'}; nothing was written.`);
}
