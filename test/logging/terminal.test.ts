// What a user sees who starts the server on a terminal.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import t, { type Test } from 'tap';
import { consoleFolder } from '../../src/config/package.ts';
import { freePort, temporaryFolder } from '../../testbed/scope.ts';
import { loadingRedis } from '../helpers/loading-redis.ts';
import { programToStart } from '../helpers/programs.ts';
import { type PtyProcess, startOnPty } from '../helpers/pty.ts';
import { eventually, http } from '../helpers/server.ts';

/** What stays on the screen: of each line what was written after the cursor last went back to its beginning. */
function screenOf({ output }: PtyProcess): string[] {
  return output()
    .split('\r\n')
    .map((line) => stripVTControlCharacters(line.split('\r').at(-1) ?? ''));
}

async function start(t: Test, env: Record<string, string>): Promise<{ terminal: PtyProcess; url: string }> {
  const port = await freePort();
  const program = programToStart('server');
  const terminal = startOnPty(t, [process.execPath, program.file, '--port', String(port)], { ...program.env, ...env });
  return { terminal, url: `http://localhost:${port}` };
}

t.test('on a terminal a start is one line, and each event after it another; Ctrl-C stops', async (t) => {
  const dataDir = temporaryFolder(t);
  const { terminal, url } = await start(t, { WEIR_DATA_DIR: dataDir });
  await eventually(() => screenOf(terminal).some((line) => line.includes('Ctrl-C stops')), 'it serves');
  const first = screenOf(terminal)[0] ?? '';
  t.match(first, /^Weirkeeper \d+\.\d+\.\d+ · /);
  t.ok(first.includes(` · ${url} · `), first);
  const ofConsole = existsSync(join(consoleFolder, 'index.html')) ? 'console /console/ · ' : '';
  t.ok(first.includes(` · ${ofConsole}API /docs · data ${dataDir} (Redis `), first);
  t.match(first, / \(Redis \d+\.\d+\.\d+\) · Ctrl-C stops$/);
  t.ok(terminal.output().includes('The private Redis is ready\x1b[K\r'), 'what happened meanwhile was a status');
  await http(`${url}/v1/sessions`, 'POST', { ttl: '1s' });
  await eventually(
    () => screenOf(terminal).some((line) => /^\d\d:\d\d:\d\d A session expired session=/.test(line)),
    'an event',
  );
  terminal.type('\x03');
  t.equal(await terminal.exited, 0);
  t.match(screenOf(terminal).slice(-2), [/ Weirkeeper has stopped$/, '']);
});

t.test('on a terminal workers are one server: one line, then events of any of them', async (t) => {
  const { terminal } = await start(t, { WEIR_DATA_DIR: temporaryFolder(t), WEIR_WORKERS: '2' });
  await eventually(() => screenOf(terminal).some((line) => line.includes('Ctrl-C stops')), 'they serve');
  const lines = screenOf(terminal);
  t.match(lines[0], /^Weirkeeper .* · 2 workers · (console \/console\/ · )?API \/docs · /);
  terminal.type('\x03');
  t.equal(await terminal.exited, 0);
});

t.test('a terminal shows how far a shared Redis has loaded its data, with and without workers', async (t) => {
  let percent = 40;
  const socketPath = await loadingRedis(t, () => percent);
  const env = { WEIR_REDIS_URL: `unix://${socketPath}` };
  const starts = [await start(t, env), await start(t, { ...env, WEIR_WORKERS: '2' })];
  const shows = (text: string) => () => starts.every(({ terminal }) => terminal.output().includes(text));
  await eventually(shows('Redis loads its data [########............] 40 %, about 7 s left\x1b[K\r'), 'the progress');
  percent = 75;
  await eventually(shows('[###############.....] 75 %'), 'the progress of later');
  for (const { terminal } of starts) {
    t.same(
      screenOf(terminal).filter((line) => line.includes('Ctrl-C stops')),
      [],
    );
    terminal.type('\x03');
    t.equal(await terminal.exited, 0, 'a stop need not wait for Redis');
  }
});

t.test('on a terminal a taken port is one sentence, before Redis is looked for', async (t) => {
  const holder = createServer();
  const port = await freePort();
  await new Promise<void>((resolve) => holder.listen(port, '127.0.0.1', resolve));
  t.teardown(() => holder.close());
  // Without a PATH no Redis is found.
  const env = { WEIR_DATA_DIR: temporaryFolder(t), PATH: '/usr/bin:/bin' };
  const program = programToStart('server');
  const terminal = startOnPty(t, [process.execPath, program.file, '--port', String(port)], { ...program.env, ...env });
  t.equal(await terminal.exited, 1);
  const lines = screenOf(terminal).filter((line) => line !== '');
  t.match(lines, [/^weir: Port \d+ of 127\.0\.0\.1 is in use by another program\. .*--port\.$/]);
  t.equal(lines.length, 1);
  t.notMatch(terminal.output(), /Using Redis|Downloading/);
});

t.test('the form of the log can be chosen: JSON on a terminal, lines in a pipe, without colours', async (t) => {
  const json = await start(t, { WEIR_DATA_DIR: temporaryFolder(t), WEIR_LOG_FORMAT: 'json' });
  const served = () => screenOf(json.terminal).find((line) => line.includes('Weirkeeper serves'));
  const entry = JSON.parse((await eventually(served, 'it serves'))!);
  t.match(entry, { level: 30, docs: `${entry.url}/docs`, redisVersion: /^\d+\.\d+/ });
  json.terminal.type('\x03');
  t.equal(await json.terminal.exited, 0);

  const program = programToStart('server');
  const child = spawn(process.execPath, [program.file, '--log-format', 'pretty', '--port', '0'], {
    env: { PATH: process.env.PATH ?? '', WEIR_DATA_DIR: temporaryFolder(t), ...program.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (data) => {
    output += data;
  });
  await eventually(() => /^Weirkeeper .* · Ctrl-C stops$/m.test(output), 'it serves');
  t.match(output, /^\d\d:\d\d:\d\d The private Redis is ready redisPid=\d+ redisVersion=\S+ dataDir=\S+$/m);
  t.equal(stripVTControlCharacters(output), output);
  t.notMatch(output, /^\{/m);
  child.kill('SIGTERM');
  await eventually(() => /^\d\d:\d\d:\d\d Weirkeeper has stopped$/m.test(output), 'its last line');
});
