// Packs server and client as for a release, installs them in an empty folder, and uses them there as a stranger would, with each version of
// Node.js that is supported: `npm run test:package`, or `npm run test:package -- 22`. The npm package `node` brings the versions; one that
// cannot be obtained is skipped, which is told.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const given = process.argv.slice(2);
const versions = given.length > 0 ? given : ['20', '22', '24'];
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'weir-package-'));
const startMsMax = 120_000;
const quiet = ['--no-audit', '--no-fund', '--loglevel=error', '--prefer-offline'];

/** What a user's program may do with both packages. */
const program = `
import { Weir } from '@weirkeeper/client';
import { lock } from '@weirkeeper/client/recipes';
const weir = new Weir({ url: process.argv[2] });
await weir.admin.topics.create({ name: 'packed', partitions: 1 });
const producer = weir.producer({ topic: 'packed', name: 'packed' });
const { offset } = await producer.send({ key: 'k', value: 'from the client' });
await producer.close();
await lock(weir, 'packed').with(async ({ token }) => {
  if (!(token > 0)) throw new Error('no fencing token');
});
for await (const record of weir.tail('packed', { from: 'earliest' })) {
  console.log(JSON.stringify({ offset, value: record.value }));
  break;
}
await weir.close();
`;

/** Runs a program to its end. @returns its standard output @throws Error with all that it said */
function run(command, args, options) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(' ')} ended with ${error?.message ?? signal ?? status}:\n${stdout}${stderr}`);
}

function check(holds, what) {
  if (!holds) throw new Error(what);
}

/** Packs a package of this repository. @returns the file, and the paths in it */
function pack(...args) {
  const [{ filename, size, files }] = JSON.parse(
    run('npm', ['pack', '--json', '--silent', `--pack-destination=${folder}`, ...args], { cwd: root }),
  );
  console.log(`${filename}: ${files.length} files, ${Math.round(size / 1024)} KiB`);
  return { file: join(folder, filename), paths: new Set(files.map(({ path }) => path)) };
}

/** Programs run as their bundles alone, and traces in the log of an installed server name lines of the sources. */
function checkPrograms(paths) {
  const modules = [...paths].filter((path) => /^dist\/(src|programs|schemas)\/.*\.js$/.test(path));
  const offenders = modules.filter((path) => !path.startsWith('dist/programs/') || !paths.has(`${path}.map`));
  check(modules.length > 0, 'no program was packed');
  check(offenders.length === 0, `packed, but no part of a bundle with its map: ${offenders.join(', ')}`);
}

/** @returns the program of a version of Node.js, or undefined if npm cannot bring it */
function obtain(major) {
  if (process.versions.node.split('.')[0] === major) return process.execPath;
  const prefix = join(folder, `node-${major}`);
  mkdirSync(prefix);
  writeFileSync(join(prefix, 'package.json'), '{"private":true}');
  const { status } = spawnSync('npm', ['install', ...quiet, `node@${major}`], { cwd: prefix, encoding: 'utf8' });
  const program = join(prefix, 'node_modules/node/bin/node');
  return status === 0 && existsSync(program) ? program : undefined;
}

/** Makes an empty folder where this Node.js is the one of all commands. @returns the folder, and the environment of its commands */
function makePlace(node, name) {
  const place = join(folder, name);
  mkdirSync(place);
  writeFileSync(join(place, 'package.json'), '{"private":true,"type":"module"}');
  const path = [join(place, 'node_modules/.bin'), dirname(node), process.env.PATH].join(delimiter);
  const env = { ...process.env, PATH: path };
  for (const variable of Object.keys(env)) if (/^(npm_|WEIR_|NODE_)/.test(variable)) delete env[variable];
  // Redis is looked for, and installed, once for all versions.
  env.XDG_CACHE_HOME = join(folder, 'cache');
  check(
    run('node', ['--version'], { cwd: place, env }).trim() === run(node, ['--version']).trim(),
    'another Node.js runs',
  );
  return { place, env };
}

/** Installs a package as its user would. */
function install({ place, env }, file) {
  run('npm', ['install', ...quiet, file], { cwd: place, env });
}

/** Starts the server by its command. @returns its URL, and how to stop it */
async function serve({ place, env }) {
  const child = spawn('weir', ['--port', '0', '--data-dir', join(place, 'data')], {
    cwd: place,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = [];
  const timer = setTimeout(() => child.kill('SIGKILL'), startMsMax);
  const url = await new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on('line', (line) => {
        said.push(line);
        const entry = line.startsWith('{') ? JSON.parse(line) : {};
        if (entry.msg === 'Weirkeeper serves') resolve(entry.url);
      });
    }
    child.once('exit', (code) => reject(new Error(`weir ended with ${code}:\n${said.join('\n')}`)));
  });
  clearTimeout(timer);
  const stop = async () => {
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit');
    check(code === 0, `weir ended with ${code} after SIGTERM:\n${said.join('\n')}`);
  };
  return { url, stop, kill: () => child.kill('SIGKILL') };
}

async function testWith(node, major, server, client) {
  const user = makePlace(node, `with-${major}`);
  const { place, env } = user;
  install(user, server);
  check(run('weir', ['--version'], { cwd: place, env }).includes(version), 'weir --version, with the server alone');
  install(user, client);
  const { url, stop, kill } = await serve(user);
  try {
    const produced = await fetch(`${url}/v1/nodes/packed`, { method: 'PUT', body: 'by HTTP' });
    check(produced.status === 201, `PUT replied ${produced.status}`);
    for (const path of [
      '/openapi.json',
      '/docs',
      '/docs/errors',
      '/docs/guide/concepts',
      '/console/',
      '/metrics',
      '/health/ready',
    ]) {
      const { status } = await fetch(url + path);
      check(status === 200, `${path} replied ${status}`);
    }
    writeFileSync(join(place, 'program.mjs'), program);
    // Node.js 20 has no WebSocket; the client does without, or with the package ws.
    const seen = JSON.parse(run('node', ['program.mjs', url], { cwd: place, env, timeout: startMsMax }));
    check(seen.offset === 0 && seen.value === 'from the client', `the client saw ${JSON.stringify(seen)}`);
    await stop();
  } finally {
    kill();
  }
}

let failures = 0;
try {
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' });
  const { file: server, paths } = pack();
  checkPrograms(paths);
  const { file: client } = pack('--workspace=client');
  for (const major of versions) {
    const node = obtain(major);
    if (node === undefined) {
      console.log(`Node.js ${major}: skipped, as npm cannot bring it (npm install node@${major})`);
      continue;
    }
    try {
      await testWith(node, major, server, client);
      console.log(`Node.js ${major} (${run(node, ['--version']).trim()}): passed`);
    } catch (error) {
      failures += 1;
      console.error(`Node.js ${major}: failed\n${error.message}`);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failures === 0 ? 0 : 1;
