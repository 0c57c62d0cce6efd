// The program that runs the tests: a fault of it would hide those of all others.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import t, { type Test } from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { identifyProcess } from '../../src/embedded-redis/process-lock.ts';
import { eventually } from '../helpers/server.ts';

const good = `t.test('holds', async (t) => { t.ok(true); });`;

/** Files of tests, by name, in a folder where they find tap. */
function testFiles(t: Test, texts: Record<string, string>): { folder: string; files: string[] } {
  const folder = mkdtempSync(join(projectRoot(), 'build/runner-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const files = Object.entries(texts).map(([name, text]) => {
    const file = join(folder, `${name}.test.js`);
    writeFileSync(file, `import t from 'tap';\nimport { writeFileSync } from 'node:fs';\n${text}\n`);
    return relative(projectRoot(), file);
  });
  return { folder, files };
}

function run(folder: string, args: readonly string[]): { code: number; output: string } {
  const program = ['scripts/test.mjs', `--results=${relative(projectRoot(), folder)}/results.tap`, ...args];
  // The variables of the run that this test belongs to are not for that one.
  const env = { PATH: process.env.PATH ?? '' };
  try {
    return { code: 0, output: execFileSync(process.execPath, program, { cwd: projectRoot(), env, encoding: 'utf8' }) };
  } catch (error) {
    const { status, stdout } = error as { status: number; stdout: string };
    return { code: status, output: stdout };
  }
}

t.test(
  'files that share a process are told apart, and the rest of them runs although one fails or ends it',
  async (t) => {
    const { folder, files } = testFiles(t, {
      // A test of properties may throw, and assert nothing itself.
      first: `t.test('throws nothing', async () => {});`,
      fails: `t.test('does not hold', async (t) => { t.equal(1, 2, 'one is two'); });`,
      throws: `t.test('throws later', async () => { setTimeout(() => { throw new Error('late'); }); await new Promise(() => setInterval(() => {}, 1000)); });`,
      empty: '',
      exits: `t.test('ends the process', async () => { process.exit(0); });`,
      skips: `t.test('needs a tool', { skip: ['no such tool'].join() }, async (t) => { t.fail(); });`,
      last: good,
    });
    const { code, output } = run(folder, ['--together', ...files]);
    t.equal(code, 1);
    const failed = new Set(
      output.match(/(?<=^FAILED {2})\S+/gm)?.map((file) => file.replace(/^.*\/|\.test\.js$/g, '')),
    );
    t.same([...failed].sort(), ['empty', 'exits', 'fails', 'throws']);
    t.match(output, 'does not hold\n  not ok: one is two');
    t.match(output, 'throws later\n  not ok: late');
    t.match(output, /\d tests in 7 files .* in .* min.*, \d+ failed in 4 files\n(FAILED.*\n){4,}$/);
    t.match(
      output,
      /\nFAILED {4}\S+fails\.test\.js {2}does not hold: one is two\n/,
      'the log of a build may be cut before',
    );
    t.match(output, /\nSKIPPED {3}\S+skips\.test\.js {2}needs a tool: no such tool\n/);
    const tap = readFileSync(join(folder, 'results.tap'), 'utf8');
    for (const name of ['first', 'last']) t.match(tap, new RegExp(`^ +ok \\d+ - \\S*/${name}.test.js`, 'm'));
  },
);

t.test('a file that fails once is run again, alone, and told as unstable', async (t) => {
  const { folder, files } = testFiles(t, { other: good, once: '' });
  const mark = join(folder, 'ran');
  writeFileSync(
    join(projectRoot(), files[1]!),
    `import t from 'tap';
     import { existsSync, writeFileSync } from 'node:fs';
     t.test('holds the second time', async (t) => {
       t.ok(existsSync('${mark}'));
       writeFileSync('${mark}', '');
     });`,
  );
  const { code, output } = run(folder, ['--together', ...files]);
  t.equal(code, 0);
  t.match(
    output,
    /2 tests in 2 files .*, all passed at last\nUNSTABLE {2}\S+once\.test\.js {2}holds the second time: .+\n$/,
  );
});

t.test('a file that does not end is ended in time, with all that it has started', async (t) => {
  const { folder, files } = testFiles(t, {
    hangs: `
      import { spawn } from 'node:child_process';
      t.test('blocks', async () => {
        // One of them in a group of its own, as a guarded command is.
        const started = [true, false].map((detached) => spawn('sleep', ['600'], { detached, stdio: 'ignore' }).pid);
        writeFileSync(new URL('./pids', import.meta.url), started.join(' '));
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      });`,
    after: good,
  });
  const { code, output } = run(folder, ['--together', '--timeout=1', ...files]);
  t.equal(code, 1);
  t.match(output, /1 tests in 2 files .*, 1 failed twice/);
  t.match(output, 'ended after 1 s');
  t.ok(existsSync(join(folder, 'pids')));
  const pids = readFileSync(join(folder, 'pids'), 'utf8').split(' ').map(Number);
  t.equal(pids.length, 2);
  for (const pid of pids) await eventually(() => identifyProcess(pid) === undefined, `process ${pid} has ended`);
});
