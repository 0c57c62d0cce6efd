// Typical clients with default settings (npm run test:clients). The programs of this folder print a line for each step. A
// program whose language or library is not installed is skipped, and the output says so.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { startTestServer } from '../helpers/server.ts';

const run = promisify(execFile);
const { url } = await startTestServer(t);
const folder = join(projectRoot(), 'test/clients/programs');

interface Client {
  program: string;
  command: string[];
  /** Succeeds where the program can be run. */
  probe: string[];
  /** Whether it has a WebSocket. */
  watches: boolean;
  install: string;
}

function python(program: string, modules: string[], watches: boolean): Client {
  const probe = ['python3', '-c', `import ${['json', ...modules].join(', ')}`];
  const install = modules.length > 0 ? `pip install ${modules.join(' ')}` : 'apt-get install python3';
  return { program, command: ['python3', program], probe, watches, install };
}

function node(program: string, watches: boolean): Client {
  return {
    program,
    command: [process.execPath, program],
    probe: [process.execPath, '--version'],
    watches,
    install: '',
  };
}

const clients: Client[] = [
  node('node-fetch.mjs', 'WebSocket' in globalThis),
  node('node-http.mjs', true),
  python('python-urllib.py', [], false),
  python('python-http-client.py', [], false),
  python('python-requests.py', ['requests'], false),
  python('python-httpx.py', ['httpx', 'websockets'], true),
  python('python-aiohttp.py', ['aiohttp'], true),
  {
    program: 'go-net-http.go',
    command: ['go', 'run', 'go-net-http.go'],
    probe: ['go', 'version'],
    watches: false,
    install: 'apt-get install golang-go',
  },
  {
    program: 'java-http-client.java',
    command: ['java', 'java-http-client.java'],
    probe: ['javac', '-version'],
    watches: true,
    install: 'apt-get install default-jdk-headless',
  },
];

const steps = [
  ...['session 201', 'renew 200', 'ephemeral 201', 'read 200 blue', 'compare-and-set 200', 'conflict 412 BAD_VERSION'],
  ...['long-poll 200 red', 'topic 201', 'produce 200', 'lines 200', 'fetch 200 3', 'join 201', 'consume 200 3'],
  ...['heartbeat 200', 'leave 204', 'problem 404 NO_NODE', 'events 200 changed', 'watch events', 'end 204'],
];

for (const { program, command, probe, watches, install } of clients) {
  t.test(program, async (t) => {
    const path = `${process.env.PATH}:/usr/local/go/bin`;
    const env = { ...process.env, PATH: path, PYTHONDONTWRITEBYTECODE: '1' };
    const isThere = await run(probe[0]!, probe.slice(1), { env }).then(
      () => true,
      () => false,
    );
    if (!isThere) return t.pass(`not tried: \`${probe.join(' ')}\` fails on this machine; ${install}`);
    const name = program.replace(/\W/g, '-');
    const options = { cwd: folder, env, timeout: 240_000 };
    const { stdout } = await run(command[0]!, [...command.slice(1), url, name], options);
    const expected = steps.filter((step) => watches || step !== 'watch events');
    t.same(stdout.trim().split('\n'), expected);
  });
}
