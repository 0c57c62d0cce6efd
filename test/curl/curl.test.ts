// Tests a running server with curl alone, as a shell user would: each script of this folder is one test, and documents one
// resource. Run one by hand with `bash test/curl/nodes.sh http://localhost:7070`.
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { startTestServer } from '../helpers/server.ts';

const run = promisify(execFile);
const folder = join(projectRoot(), 'test/curl');
const scripts = readdirSync(folder).filter((file) => file.endsWith('.sh') && file !== 'lib.sh');

/** Runs a program. @returns its output, and whether its exit code was 0 */
async function output(program: string, args: string[]): Promise<{ ok: boolean; text: string }> {
  try {
    const { stdout, stderr } = await run(program, args, { timeout: 100_000 });
    return { ok: true, text: stdout + stderr };
  } catch (error) {
    const { stdout = '', stderr = '', message } = error as { stdout?: string; stderr?: string; message: string };
    return { ok: false, text: stdout + stderr || message };
  }
}

t.test('curl and bash are installed, which these tests need', async (t) => {
  for (const program of ['curl', 'bash']) {
    const { ok, text } = await output(program, ['--version']);
    t.ok(ok, ok ? `${program} is installed` : `${program} is not installed, or does not run: ${text}`);
  }
});

t.test('a shell user can use every resource with curl alone', async (t) => {
  t.ok(scripts.length > 0, 'there are scripts');
  for (const script of scripts) {
    await t.test(script, async (t) => {
      const server = await startTestServer(t);
      const { ok, text } = await output('bash', [join(folder, script), server.url]);
      t.ok(ok, `${script} runs to its end`, ok ? {} : { output: text.split('\n') });
    });
  }
});

t.test('a failing script names the unexpected response', async (t) => {
  const { ok, text } = await output('bash', [join(folder, 'operation.sh'), 'http://127.0.0.1:1']);
  t.notOk(ok, 'it fails without a server');
  t.match(text, /not as expected: curl ended with status 7[\s\S]*in the step: the process is alive/);
});
