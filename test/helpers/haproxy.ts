// A real load balancer: the HAProxy of the distribution, installed into a folder of the project like the private Redis. It runs
// with the configuration that docs/operations.md recommends, but shorter intervals.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { commandSearchPath, projectRoot } from '../../src/config/config.ts';
import { installPrivately, isExecutable, libraryFolders } from '../../src/embedded-redis/private-packages.ts';
import { quietLog } from '../../testbed/redis-node.ts';
import { freePort, temporaryFolder } from '../../testbed/scope.ts';
import { eventually, http } from './server.ts';

const run = promisify(execFile);

interface Program {
  command: string;
  env: Record<string, string>;
}

export interface LoadBalancer {
  url: string;
  child: ChildProcess;
  /** Waits until the balancer considers so many servers ready. */
  knows(ready: number): Promise<void>;
}

/** Debian installs it outside the PATH of ordinary users. */
const administratorsPath = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

async function problemOf({ command, env }: Program): Promise<string | undefined> {
  if (!isExecutable(command)) return 'it holds no haproxy';
  return run(command, ['-v'], { env, timeout: 10_000 }).then(
    () => undefined,
    (error: Error) => `it does not run: ${error.message}`,
  );
}

/** The HAProxy of the PATH, or a private copy. Rejects if there is neither, and no distribution package to install. */
async function resolveHaproxy(): Promise<Program> {
  const searchPath = [...commandSearchPath(), ...administratorsPath];
  for (const folder of searchPath) {
    const found = { command: join(folder, 'haproxy'), env: {} };
    if ((await problemOf(found)) === undefined) return found;
  }
  const programIn = (root: string): Program => ({
    command: join(root, 'usr/sbin/haproxy'),
    env: { LD_LIBRARY_PATH: libraryFolders(root).join(':') },
  });
  const installDir = join(projectRoot(), '.haproxy');
  try {
    await installPrivately({
      installDir,
      name: 'haproxy',
      packages: [{ name: 'haproxy' }],
      programsIn: (root) => [programIn(root).command].filter(isExecutable),
      usabilityProblem: (root) => problemOf(programIn(root)),
      log: quietLog,
      searchPath,
    });
  } catch (error) {
    throw new Error(
      `No load balancer to test with: there is no haproxy on the PATH, and it could not be brought here: ${error}. ` +
        'Please install it, such as by `sudo apt-get install haproxy`.',
    );
  }
  return programIn(join(installDir, 'haproxy'));
}

/** Starts it in front of the servers; it stops with the test. */
export async function startHaproxy(t: Test, servers: string[]): Promise<LoadBalancer> {
  const { command, env } = await resolveHaproxy();
  const port = await freePort();
  const file = join(temporaryFolder(t), 'haproxy.cfg');
  writeFileSync(file, configuration(port, servers));
  // In one process, in the foreground.
  const child = spawn(command, ['-f', file, '-db'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (data) => {
    errors += data;
  });
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    child,
    knows: async (ready) => {
      await eventually(
        () => {
          if (child.exitCode !== null) throw new Error(`HAProxy has ended: ${errors}`);
          return http(`${url}/balancer/${ready}`).then(
            ({ status }) => status === 200,
            () => false,
          );
        },
        `the balancer holds ${ready} servers for ready`,
        30_000,
      );
    },
  };
}

function configuration(port: number, servers: string[]): string {
  const lines = servers.map((url, n) => `  server weir-${n + 1} ${new URL(url).host}`);
  const counts = servers.map((_, n) => n + 1).concat(0);
  return `
global
  maxconn 2000

defaults
  mode http
  timeout connect 2s
  timeout client 75s
  timeout server 75s
  timeout tunnel 1h
  # Only what could not be sent at all goes to another server: then nothing can be done twice.
  retries 3
  retry-on conn-failure
  option redispatch 1

frontend api
  bind 127.0.0.1:${port}
${counts.map((count) => `  http-request return status 200 if { path /balancer/${count} } { nbsrv(weir) eq ${count} }`).join('\n')}
  default_backend weir

backend weir
  balance roundrobin
  option httpchk GET /health/ready
  default-server check inter 200ms fall 2 rise 1
${lines.join('\n')}
`;
}
