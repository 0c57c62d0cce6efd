// The examples of the README: each runs as it is written, and prints what it says.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { startTestServer } from '../../test/helpers/server.ts';

// Programs of their own, which mostly wait.
t.jobs = 4;

const server = await startTestServer(t);
const folder = join(projectRoot(), 'build', 'client', 'readme');
mkdirSync(folder, { recursive: true });
const readme = readFileSync(join(projectRoot(), 'client', 'README.md'), 'utf8');
const examples = [...readme.matchAll(/\*\*([^*]+)\.\*\*[^`]*?(?:`[^`\n]+`[^`]*?)*```js\n([\s\S]*?)```/g)];

t.equal(examples.length, 10, 'there are ten');
for (const [, name = '', code = ''] of examples) {
  t.test(name, async (t) => {
    const file = join(folder, `${name.toLowerCase().replaceAll(' ', '-')}.mjs`);
    writeFileSync(file, code);
    const { NODE_OPTIONS: _, ...env } = process.env;
    const child = spawn(process.execPath, [file], {
      env: { ...env, WEIR_URL: server.url },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
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
      printed.trimEnd().split('\n'),
      said.map((text) => text.trim()),
    );
  });
}
