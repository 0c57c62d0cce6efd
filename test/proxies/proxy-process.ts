// Starts one of the proxies in front of a broker, with the configuration that the documentation shows.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { commandSearchPath, projectRoot } from '../../src/config/config.ts';
import { isExecutable } from '../../src/embedded-redis/private-packages.ts';
import { freePort, temporaryFolder } from '../../testbed/scope.ts';
import { eventually, http } from '../helpers/server.ts';
import type { Edit, ProxyProgram } from './proxy-programs.ts';

const run = promisify(execFile);

/** Debian keeps servers out of the way of ordinary users. */
const administratorsPath = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** The path of the program; undefined if it is not installed or does not run. */
export async function findProxy({ command }: ProxyProgram): Promise<string | undefined> {
  const versionFlag = command === 'caddy' ? 'version' : command === 'varnishd' ? '-V' : '-v';
  for (const folder of [...commandSearchPath(), ...administratorsPath]) {
    const file = join(folder, command);
    if (!isExecutable(file)) continue;
    const works = await run(file, [versionFlag], { timeout: 20_000 }).then(
      () => true,
      () => false,
    );
    if (works) return file;
  }
  return undefined;
}

function edited(text: string, [from, to]: Edit, file: string): string {
  const [before, after, ...more] = text.split(from);
  if (after === undefined || more.length > 0) throw new Error(`${file} must have "${from}" once`);
  return `${before}${to}${after}`;
}

/**
 * Starts it in front of the broker; it stops with the test.
 * @param more changes to the documented configuration
 * @returns its URL
 */
export async function startProxy(
  t: Test,
  program: ProxyProgram,
  command: string,
  brokerUrl: string,
  more: Edit[],
): Promise<string> {
  const port = await freePort();
  const folder = temporaryFolder(t);
  const file = join(folder, program.configuration);
  const edits = [...program.listens(port), ...program.broker(Number(new URL(brokerUrl).port)), ...more];
  const text = readFileSync(join(projectRoot(), 'examples/proxies', program.configuration), 'utf8');
  writeFileSync(
    file,
    edits.reduce((sum, edit) => edited(sum, edit, program.configuration), text),
  );
  const child = spawn(command, program.prepare({ folder, file, port }), {
    env: { PATH: process.env.PATH ?? '', HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      output = (output + data).slice(-4000);
    });
  }
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    // The proxies end their child processes on SIGTERM, not on SIGKILL.
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const killer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await exited;
    clearTimeout(killer);
    if (process.env.WEIR_TEST_LOG) t.comment(`${program.name} wrote: ${output}`);
  });
  const url = `http://127.0.0.1:${port}`;
  await eventually(
    () => {
      if (child.exitCode !== null) throw new Error(`${program.name} has ended: ${output}`);
      return http(`${url}/health/ready`).then(
        ({ status }) => status === 200,
        () => false,
      );
    },
    `${program.name} passes requests on`,
    60_000,
  );
  return url;
}
