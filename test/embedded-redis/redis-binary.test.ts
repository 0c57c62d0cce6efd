import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { binaryAge, resolveRedisBinary } from '../../src/embedded-redis/redis-binary.ts';
import { quietLog } from '../../testbed/redis-node.ts';
import { temporaryFolder } from '../../testbed/scope.ts';

function writeScript(folder: string, name: string, lines: string[]): string {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, name);
  writeFileSync(file, ['#!/bin/sh', ...lines, ''].join('\n'), { mode: 0o755 });
  return file;
}

function writeServer(folder: string, name: string, version: string): string {
  return writeScript(folder, name, [`echo "Some server v=${version} sha=00000000:0 malloc=libc bits=64"`]);
}

/**
 * A distribution: folders in which its commands say what apt would say, and write down how they were called. Its
 * package lists are outdated until they are updated, and its server lacks a library until that is unpacked.
 */
function writeDistribution(t: Test, version: string, { needsUpdate = false, lacksLibrary = false } = {}) {
  const bin = temporaryFolder(t);
  const calls = join(bin, 'calls');
  const note = `echo "$(basename "$0") $*" >> ${calls}`;
  // Lists of one's own stand in the folder of the configuration file that follows -c.
  const stale = needsUpdate
    ? ['case "$2" in *apt-system*) echo "E: Unable to locate package" >&2; exit 100;; esac']
    : [];
  writeScript(bin, 'apt-cache', [
    note,
    ...stale,
    'shift 3',
    'for package in "$@"; do case "$package" in',
    '  redis-server) printf "redis-server\\n  Depends: redis-tools\\n  Depends: adduser\\n  Suggests: ruby-redis\\n";;',
    '  redis-tools) printf "redis-tools\\n  Depends: libc6\\n |Depends: libfake1\\n  Depends: <virtual>\\n";;',
    '  libfake1) printf "libfake1\\n  Depends: libfake1-data\\n  Depends: libc6\\n";;',
    '  libfake1-data) echo libfake1-data;;',
    '  *) echo "E: No packages found" >&2; exit 100;;',
    'esac; done',
  ]);
  writeScript(bin, 'apt-get', [
    note,
    ...stale,
    'shift 2',
    'test "$1" = download || exit 0',
    'shift 2',
    'for package in "$@"; do echo "$package" > "$package.deb"; done',
  ]);
  const server = [
    'mkdir -p "$3/usr/bin"',
    `printf '#!/bin/sh\\necho "Redis server v=${version} bits=64"\\n' > "$3/usr/bin/redis-check-rdb"`,
    'chmod 755 "$3/usr/bin/redis-check-rdb"',
  ];
  writeScript(bin, 'dpkg-deb', [
    note,
    'case "$(cat "$2")" in',
    '  redis-server) mkdir -p "$3/usr/bin"; ln -s redis-check-rdb "$3/usr/bin/redis-server";;',
    `  redis-tools) ${server.join('; ')};;`,
    '  libfake1) mkdir -p "$3/usr/lib/some-arch"; touch "$3/usr/lib/some-arch/libfake.so.1";;',
    'esac',
  ]);
  writeScript(bin, 'ldd', [
    lacksLibrary
      ? 'case "$LD_LIBRARY_PATH" in *some-arch*) ;; *) echo "	libfake.so.1 => not found";; esac'
      : 'echo "	libc.so.6 => /lib/libc.so.6"',
  ]);
  const callsOf = (command: string) =>
    (existsSync(calls) ? readFileSync(calls, 'utf8') : '').split('\n').filter((line) => line.startsWith(command));
  return { bin, callsOf };
}

t.test('a server on the PATH is used, valkey-server before redis-server, in the order of the folders', async (t) => {
  const [first, second] = [temporaryFolder(t), temporaryFolder(t)];
  const redis = writeServer(first, 'redis-server', '7.2.5');
  const options = { installDir: temporaryFolder(t), log: quietLog, searchPath: [join(first, 'none'), first, second] };
  t.same(await resolveRedisBinary(options), { command: redis, env: {}, version: '7.2.5', source: 'path' });

  const valkey = writeServer(second, 'valkey-server', '8.1.0');
  t.same(await resolveRedisBinary(options), { command: valkey, env: {}, version: '8.1.0', source: 'path' });
});

t.test('a server that is too old, does not run or prints no version is skipped with a warning', async (t) => {
  const folders = Array.from({ length: 5 }, () => temporaryFolder(t));
  writeServer(folders[0]!, 'redis-server', '6.2.14');
  writeScript(folders[1]!, 'redis-server', ['exit 3']);
  writeScript(folders[2]!, 'redis-server', ['echo hello']);
  writeFileSync(join(folders[3]!, 'redis-server'), 'not executable', { mode: 0o644 });
  const good = writeServer(folders[4]!, 'redis-server', '10.0.0');
  const warnings: string[] = [];
  const log = { info() {}, warn: (_fields: object, text: string) => warnings.push(text) } as never;
  const found = await resolveRedisBinary({ installDir: temporaryFolder(t), log, searchPath: folders });
  t.equal(found.command, good);
  t.equal(warnings.length, 3);
  t.match(warnings[0], /its version 6\.2\.14 is older than 7\.0/);
  t.match(warnings[1], /does not run/);
  t.match(warnings[2], /does not print its version: "hello/);
});

t.test('a server that was installed before is used, with its libraries', async (t) => {
  const installDir = temporaryFolder(t);
  const command = writeServer(join(installDir, 'redis/usr/bin'), 'redis-server', '7.0.15');
  const options = { installDir, log: quietLog, searchPath: [] };
  t.same(await resolveRedisBinary(options), { command, env: {}, version: '7.0.15', source: 'installed' });

  const libraries = join(installDir, 'redis/usr/lib/some-arch');
  mkdirSync(libraries, { recursive: true });
  writeFileSync(join(libraries, 'libfake.so.2'), '');
  t.same((await resolveRedisBinary(options)).env, { LD_LIBRARY_PATH: libraries });
});

t.test('without any server the error names what was searched, why it failed and what to do', async (t) => {
  const old = temporaryFolder(t);
  writeServer(old, 'redis-server', '6.0.16');
  const installDir = join(temporaryFolder(t), 'install');
  const error = await resolveRedisBinary({ installDir, log: quietLog, searchPath: [old] }).catch((error) => error);
  t.notMatch(error.message, /\n/);
  for (const part of [
    'no valkey-server or redis-server of version 7.0 or newer on the PATH',
    installDir,
    `Skipped: ${old}/redis-server (its version 6.0.16 is older than 7.0)`,
    'this machine has no apt',
    'sudo apt-get install redis-server',
    'sudo dnf install',
    'brew install redis',
    'WEIR_REDIS_URL',
  ]) {
    t.ok(error.message.includes(part), `it says: ${part}`);
  }
  t.same(readdirSync(installDir), [], 'nothing is left of the attempt');
});

t.test("the distribution's package is unpacked into the folder, and no other files are left there", async (t) => {
  const { bin, callsOf } = writeDistribution(t, '7.0.15');
  const installDir = join(temporaryFolder(t), 'install');
  const options = { installDir, log: quietLog, searchPath: [bin] };
  const command = join(installDir, 'redis/usr/bin/redis-server');
  t.same(await resolveRedisBinary(options), { command, env: {}, version: '7.0.15', source: 'installed' });
  t.same(readdirSync(installDir), ['redis']);
  t.equal(callsOf('apt-get').length, 1, 'only the download');
  t.match(callsOf('apt-get')[0], / download -qq redis-server redis-tools$/);

  await resolveRedisBinary(options);
  t.equal(callsOf('apt-get').length, 1, 'the next time it is there');
});

t.test('an update installs the newest version of the distribution, and a failed one changes nothing', async (t) => {
  const installDir = join(temporaryFolder(t), 'install');
  const command = writeServer(join(installDir, 'redis/usr/bin'), 'redis-server', '7.0.15');
  await t.rejects(resolveRedisBinary({ installDir, log: quietLog, searchPath: [], update: true }), {
    message: /this machine has no apt/,
  });
  const { bin, callsOf } = writeDistribution(t, '7.2.5');
  const options = { installDir, log: quietLog, searchPath: [bin] };
  t.equal((await resolveRedisBinary(options)).version, '7.0.15', 'by itself nothing is replaced');
  t.same(await resolveRedisBinary({ ...options, update: true }), {
    command,
    env: {},
    version: '7.2.5',
    source: 'installed',
  });
  t.match(callsOf('apt-get')[0], /apt-private\/apt\.conf update/, 'by fresh lists');
  t.match(binaryAge(command), { builtOn: /^\d{4}-\d\d-\d\d$/, installedOn: new Date().toISOString().slice(0, 10) });
});

t.test('missing libraries are downloaded with their dependencies, except the C library', async (t) => {
  const { bin, callsOf } = writeDistribution(t, '7.0.15', { lacksLibrary: true });
  const installDir = temporaryFolder(t);
  const { env } = await resolveRedisBinary({ installDir, log: quietLog, searchPath: [bin] });
  t.same(env, { LD_LIBRARY_PATH: join(installDir, 'redis/usr/lib/some-arch') });
  t.match(callsOf('apt-get')[1], / download -qq libfake1 libfake1-data$/);
});

t.test('outdated package lists are downloaded again into the folder', async (t) => {
  const { bin, callsOf } = writeDistribution(t, '7.0.15', { needsUpdate: true });
  const installDir = temporaryFolder(t);
  t.equal((await resolveRedisBinary({ installDir, log: quietLog, searchPath: [bin] })).source, 'installed');
  t.match(callsOf('apt-get').at(-2), /apt-private\/apt\.conf update/);
  for (const call of [...callsOf('apt-get'), ...callsOf('apt-cache')]) t.ok(call.includes(installDir), call);
});

t.test('a distribution whose server is too old is not used', async (t) => {
  const { bin } = writeDistribution(t, '6.0.16');
  const installDir = temporaryFolder(t);
  await t.rejects(resolveRedisBinary({ installDir, log: quietLog, searchPath: [bin] }), {
    message: /the redis-server of this distribution was downloaded, but its version 6\.0\.16 is older than 7\.0/,
  });
  t.same(readdirSync(installDir), []);
});

t.test('the binary of the tools package is used under its other name if no package can be downloaded', async (t) => {
  const folder = temporaryFolder(t);
  const tool = writeServer(folder, 'redis-check-rdb', '7.0.15');
  const installDir = temporaryFolder(t);
  const found = await resolveRedisBinary({ installDir, log: quietLog, searchPath: [folder] });
  t.equal(found.command, join(installDir, 'redis/usr/bin/redis-server'));
  t.ok(existsSync(tool));
});

t.test('of several processes that install at once, one installs and all get the result', async (t) => {
  const { bin, callsOf } = writeDistribution(t, '7.0.15');
  const installDir = temporaryFolder(t);
  const options = { installDir, log: quietLog, searchPath: [bin] };
  const found = await Promise.all(Array.from({ length: 4 }, () => resolveRedisBinary(options)));
  for (const { command } of found) t.equal(command, join(installDir, 'redis/usr/bin/redis-server'));
  t.equal(callsOf('apt-get').length, 1);
});

t.test('the remains of a killed installation are removed, and a broken one is replaced', async (t) => {
  const { bin } = writeDistribution(t, '7.0.15');
  const installDir = temporaryFolder(t);
  mkdtempSync(join(installDir, 'draft-'));
  mkdirSync(join(installDir, 'redis/usr/bin'), { recursive: true });
  symlinkSync('gone', join(installDir, 'redis/usr/bin/redis-server'));
  t.equal((await resolveRedisBinary({ installDir, log: quietLog, searchPath: [bin] })).version, '7.0.15');
  t.same(readdirSync(installDir), ['redis']);
});
