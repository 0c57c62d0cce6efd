// Runs examples that stand in documents, and compares what they print with what their comments `// → …` say.
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { projectRoot } from '../../src/config/config.ts';

/** Runs `code` as a module of its own against the server at `url`; the packages are those of the project. */
export async function checkExample(t: Test, url: string, name: string, code: string): Promise<void> {
  const folder = join(projectRoot(), 'build', 'client', 'examples');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name.toLowerCase().replaceAll(' ', '-')}.mjs`);
  writeFileSync(file, code);
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, [file], { env: { ...env, WEIR_URL: url }, stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      printed += String(data);
    });
  }
  const status = await new Promise((resolve) => child.once('close', resolve));
  const said = [...code.matchAll(/\/\/ (→ .*)$/gm)].flatMap(([, text = '']) => text.split('→ ').slice(1));
  t.equal(status, 0, printed);
  t.same(
    printed.split('\n').filter((line) => line !== ''),
    said.map((text) => text.trim()),
  );
}
