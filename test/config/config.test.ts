import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  type Config,
  ConfigError,
  commandSearchPath,
  describeConfig,
  installFolder,
  loadConfig,
  projectRoot,
} from '../../src/config/config.ts';
import { parseRedisUrl } from '../../src/config/redis-url.ts';
import { temporaryFolder } from '../../testbed/scope.ts';

function load(env: Record<string, string> = {}, argv: string[] = []): Config {
  const invocation = loadConfig(env, argv);
  if (invocation.kind !== 'run') throw new Error(`it only prints: ${invocation.kind}`);
  return invocation.config;
}

/** The lines of the one message with all problems, without the closing hint. */
function problems(env: Record<string, string>, argv: string[] = []): string[] {
  try {
    load(env, argv);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const lines = error.message.split('\n');
    t.equal(lines.pop(), 'See --help for all options.');
    return lines;
  }
  return [];
}

t.test('without settings every option has its documented default', async (t) => {
  t.same(load(), {
    host: '127.0.0.1',
    port: 7070,
    workers: 1,
    dataDir: './data',
    appendfsync: 'always',
    prefix: 'weir',
    sessionMinTtlMs: 1000,
    sessionMaxTtlMs: 86_400_000,
    brokerSessionTtlMs: 6000,
    drainDelayMs: 3000,
    producerIdExpirationMs: 86_400_000,
    eventRetention: 100_000,
    offsetsRetentionMs: 604_800_000,
    maxNodeBytes: 1_048_576,
    nodeCacheBytes: 33_554_432,
    maxBodyBytes: 16_777_216,
    batchCacheBytes: 16 * 1024 * 1024,
    maxConnections: 16_000,
    maxPartitions: 20_000,
    storeWaitMs: 60_000,
    storeTimeoutMs: 2000,
    addressShare: 0.5,
    trustProxy: [],
    autoCreateTopics: false,
    kafkaRest: true,
    kafkaRestIdleTimeoutMs: 300_000,
    console: 'on',
    insecure: false,
    auditWrites: false,
    corsOrigins: [],
    allowedHosts: [],
    logLevel: 'info',
    logFormat: 'auto',
  });
});

t.test('every option is read from its variable', async (t) => {
  const config = load({
    WEIR_HOST: '0.0.0.0',
    WEIR_ACCESS_FILE: '/etc/weir/policy.yaml',
    WEIR_INSECURE: 'true',
    WEIR_PORT: '80',
    WEIR_ADVERTISED_URL: 'https://weir.example.org/',
    WEIR_WORKERS: '4',
    WEIR_BROKER_ID: '3',
    WEIR_RACK: 'zone a',
    WEIR_DATA_DIR: '/var/lib/weir',
    WEIR_REDIS_URL: 'rediss://user:secret@redis:6380/2',
    WEIR_STORE_WAIT: '5m',
    WEIR_STORE_TIMEOUT: '4s',
    WEIR_APPENDFSYNC: 'everysec',
    WEIR_PREFIX: 'blue',
    WEIR_SESSION_MIN_TTL: '500ms',
    WEIR_SESSION_MAX_TTL: '1h',
    WEIR_BROKER_SESSION_TTL: '3000',
    WEIR_DRAIN_DELAY: '0',
    WEIR_PRODUCER_ID_EXPIRATION: '1h',
    WEIR_EVENT_RETENTION: '500',
    WEIR_OFFSETS_RETENTION: '1h',
    WEIR_MAX_NODE_BYTES: '512kb',
    WEIR_MAX_BODY_BYTES: '32 MiB',
    WEIR_ADDRESS_SHARE: '80%',
    WEIR_TRUST_PROXY: '10.0.0.0/8, 2001:db8::1,loopback',
    WEIR_AUTO_CREATE_TOPICS: 'true',
    WEIR_KAFKA_REST: 'false',
    WEIR_CONSOLE: 'read-only',
    WEIR_KAFKA_REST_IDLE_TIMEOUT: '90s',
    WEIR_REDIS_MAXMEMORY: '4GiB',
    WEIR_CORS_ORIGINS: 'https://a.example, http://localhost:3000',
    WEIR_ALLOWED_HOSTS: 'Weir.example, weir-2',
    WEIR_AUDIT_FILE: '/var/log/weir/audit',
    WEIR_AUDIT_WRITES: 'true',
    WEIR_TLS_CERT: '/etc/weir/server.pem',
    WEIR_TLS_KEY: '/etc/weir/server.key',
    WEIR_TLS_CLIENT_CA: '/etc/weir/ca.pem',
    WEIR_LOG_LEVEL: 'debug',
    WEIR_LOG_FORMAT: 'json',
    PATH: '/usr/bin',
    WEIRD: 'not ours',
  });
  t.same(config, {
    host: '0.0.0.0',
    port: 80,
    advertisedUrl: 'https://weir.example.org',
    workers: 4,
    brokerId: 3,
    rack: 'zone a',
    dataDir: '/var/lib/weir',
    redisUrl: 'rediss://user:secret@redis:6380/2',
    storeWaitMs: 300_000,
    storeTimeoutMs: 4000,
    appendfsync: 'everysec',
    prefix: 'blue',
    sessionMinTtlMs: 500,
    sessionMaxTtlMs: 3_600_000,
    brokerSessionTtlMs: 3000,
    drainDelayMs: 0,
    producerIdExpirationMs: 3_600_000,
    eventRetention: 500,
    offsetsRetentionMs: 3_600_000,
    maxNodeBytes: 524_288,
    nodeCacheBytes: 33_554_432,
    maxBodyBytes: 33_554_432,
    batchCacheBytes: 16 * 1024 * 1024,
    maxConnections: 16_000,
    maxPartitions: 20_000,
    addressShare: 0.8,
    trustProxy: ['10.0.0.0/8', '2001:db8::1', 'loopback'],
    autoCreateTopics: true,
    kafkaRest: false,
    kafkaRestIdleTimeoutMs: 90_000,
    console: 'read-only',
    accessFile: '/etc/weir/policy.yaml',
    insecure: true,
    auditFile: '/var/log/weir/audit',
    auditWrites: true,
    tlsCert: '/etc/weir/server.pem',
    tlsKey: '/etc/weir/server.key',
    tlsClientCa: '/etc/weir/ca.pem',
    redisMaxmemoryBytes: 4_294_967_296,
    corsOrigins: ['https://a.example', 'http://localhost:3000'],
    allowedHosts: ['weir.example', 'weir-2'],
    logLevel: 'debug',
    logFormat: 'json',
  });
});

t.test('a server that others can reach needs a policy, or the word that it needs none', async (t) => {
  for (const host of ['0.0.0.0', '::', '10.1.2.3', 'weir.example']) {
    t.throws(() => load({ WEIR_HOST: host }), { message: /WEIR_ACCESS_FILE.*WEIR_INSECURE=true/s }, host);
    t.doesNotThrow(() => load({ WEIR_HOST: host, WEIR_ACCESS_FILE: 'policy.yaml' }), host);
    t.doesNotThrow(() => load({ WEIR_HOST: host }, ['--insecure']), host);
  }
  for (const host of ['127.0.0.1', '127.0.0.2', '::1', 'localhost'])
    t.doesNotThrow(() => load({ WEIR_HOST: host }), host);
});

t.test('a certificate needs its key, client certificates need TLS, and an audit log needs a policy', async (t) => {
  t.match(problems({ WEIR_TLS_CERT: 'a.pem' }), [/must be set together: WEIR_TLS_KEY is missing/]);
  t.match(problems({ WEIR_TLS_KEY: 'a.key' }), [/must be set together: WEIR_TLS_CERT is missing/]);
  t.match(problems({ WEIR_AUDIT_FILE: 'a' }), [/WEIR_AUDIT_FILE is set, but without WEIR_ACCESS_FILE/]);
  t.match(problems({ WEIR_AUDIT_WRITES: 'true' }), [/WEIR_AUDIT_WRITES is set, but WEIR_AUDIT_FILE is not/]);
  t.match(problems({ WEIR_TLS_CLIENT_CA: 'ca.pem' }), [/WEIR_TLS_CLIENT_CA is set, but without WEIR_TLS_CERT/]);
});

t.test('a secret can be in a file, and is never shown', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'url');
  const url = 'redis://user:hidden@redis:6379';
  writeFileSync(file, `${url}\n`, { mode: 0o600 });
  t.equal(load({ WEIR_REDIS_URL_FILE: file }).redisUrl, url);
  t.equal(load({}, ['--redis-url-file', file]).redisUrl, url);
  t.notMatch(JSON.stringify(describeConfig(load({ WEIR_REDIS_URL_FILE: file }))), /hidden/);
  writeFileSync(join(folder, 'password'), 'p');
  const sentinel = { WEIR_REDIS_URL: 'redis+sentinel://s:1/main' };
  const password = { ...sentinel, WEIR_REDIS_SENTINEL_PASSWORD_FILE: join(folder, 'password') };
  t.equal(load(password).redisSentinelPassword, 'p');
  t.match(problems({ WEIR_REDIS_URL_FILE: file, WEIR_REDIS_URL: url }), [/both set; leave one of them out/]);
  t.match(problems({ WEIR_REDIS_URL_FILE: `${file}.none` }), [
    /WEIR_REDIS_URL_FILE is .*none, which cannot be read: ENOENT/,
  ]);
  writeFileSync(file, '\n');
  t.match(problems({ WEIR_REDIS_URL_FILE: file }), [/which is empty/]);
  writeFileSync(file, 'hidden'.repeat(20_000));
  t.match(problems({ WEIR_REDIS_URL_FILE: file }), [/more than 65536 bytes/]);
  writeFileSync(file, 'not a url, but hidden');
  const [problem = ''] = problems({ WEIR_REDIS_URL_FILE: file });
  t.match(problem, /must be a URL such as redis:/);
  t.notMatch(problem, /hidden/);
});

t.test('secrets that others can see, and files that others can change, are warned of', async (t) => {
  const folder = temporaryFolder(t);
  const [key, policy] = [join(folder, 'key'), join(folder, 'policy')];
  writeFileSync(key, '');
  writeFileSync(policy, '');
  chmodSync(key, 0o600);
  chmodSync(policy, 0o644);
  const env = { WEIR_TLS_CERT: key, WEIR_TLS_KEY: key, WEIR_ACCESS_FILE: policy };
  const warnings = (argv: string[] = [], more: Record<string, string> = {}) => {
    const invocation = loadConfig({ ...env, ...more }, argv);
    return invocation.kind === 'run' ? invocation.warnings : [];
  };
  t.same(warnings(), [], 'a policy is no secret');
  chmodSync(key, 0o604);
  chmodSync(policy, 0o646);
  const [readable, changeable, ...others] = warnings();
  t.match(readable, /All users of this machine can read .*key/);
  t.match(changeable, /All users of this machine can change .*policy/);
  t.same(others, []);
  t.match(
    warnings(['--redis-url', 'redis://u:p@r'])[0],
    /--redis-url is a secret on the command line.*--redis-url-file/,
  );
  t.match(warnings([], { WEIR_ADVERTISED_URL: 'http://weir:7070' }).at(-1), /clients need https/);
});

t.test('a flag takes precedence over its variable, in both spellings', async (t) => {
  t.equal(load({ WEIR_PORT: '1' }, ['--port', '2']).port, 2);
  t.equal(load({ WEIR_PORT: '1' }, ['--port=3']).port, 3);
  t.equal(load({}, ['--data-dir', '/srv', '--session-min-ttl=2s']).dataDir, '/srv');
  t.equal(load({}, ['--auto-create-topics']).autoCreateTopics, true);
  t.equal(load({ WEIR_AUTO_CREATE_TOPICS: 'true' }, ['--auto-create-topics=false']).autoCreateTopics, false);
});

t.test('workers: auto is the number of cores, and what does not fit the number of workers is refused', async (t) => {
  t.equal(load({ WEIR_WORKERS: 'auto' }).workers, availableParallelism());
  t.equal(load({}, ['--workers', '3']).workers, 3);
  t.match(
    problems({ WEIR_WORKERS: '2', WEIR_BROKER_ID: '2147483647' })[0],
    /^WEIR_BROKER_ID is 2147483647, and with 2/,
  );
  t.match(problems({ WEIR_WORKERS: '4', WEIR_MAX_CONNECTIONS: '39' })[0], /^WEIR_MAX_CONNECTIONS is 39, but 4 workers/);
});

t.test('an invalid variable is ignored if a flag overrides it', async (t) => {
  t.equal(load({ WEIR_PORT: 'many' }, ['--port', '2']).port, 2);
});

t.test('an empty variable counts as absent', async (t) => {
  const config = load({ WEIR_PORT: '', WEIR_RACK: '', WEIR_CORS_ORIGINS: '' });
  t.equal(config.port, 7070);
  t.notOk('rack' in config);
  t.same(config.corsOrigins, []);
});

t.test('an unknown variable or flag is an error that suggests the most similar one', async (t) => {
  t.same(problems({ WEIR_PROT: '1' }), ['WEIR_PROT is unknown; did you mean WEIR_PORT?']);
  t.same(problems({}, ['--datadir', 'x']), ['--datadir is unknown; did you mean --data-dir?']);
  t.same(problems({}, ['--port', '1', 'x']), ['"x" is not an option; the program takes only options']);
  t.same(problems({ WEIR_FOO: '1' }), ['WEIR_FOO is unknown'], 'that both begin with WEIR_ makes no two names similar');
  t.same(problems({}, ['-p']), ['-p is unknown']);
  t.same(problems({ WEIR_ZZZZZZZZZZZZZZZZZZZZZZZZZZZZ: '1' }), ['WEIR_ZZZZZZZZZZZZZZZZZZZZZZZZZZZZ is unknown']);
});

t.test('the error for an invalid value names its source, the value and what is allowed', async (t) => {
  const cases: [Record<string, string>, string[], RegExp][] = [
    [{ WEIR_PORT: '65536' }, [], /^WEIR_PORT is "65536", .* must be a whole number from 0 to 65535$/],
    [{}, ['--port', '-1'], /^--port is "-1", .* must be a whole number from 0 to 65535$/],
    [{ WEIR_PORT: '7070x' }, [], /^WEIR_PORT is "7070x"/],
    [{ WEIR_HOST: 'a b' }, [], /^WEIR_HOST is "a b", .* must be an address/],
    [{ WEIR_ADVERTISED_URL: 'weir:7070' }, [], /must be an http\(s\) URL without a path/],
    [{ WEIR_ADVERTISED_URL: 'http://weir/path' }, [], /must be an http\(s\) URL without a path/],
    [{ WEIR_ADVERTISED_URL: 'http://user@weir' }, [], /must be an http\(s\) URL without a path/],
    [{ WEIR_BROKER_ID: 'one' }, [], /whole number from 0 to 2147483647/],
    [{ WEIR_WORKERS: '0' }, [], /must be a whole number from 1 to 256, or auto/],
    [{ WEIR_WORKERS: '257' }, [], /must be a whole number from 1 to 256, or auto/],
    [{ WEIR_APPENDFSYNC: 'sometimes' }, [], /must be one of always, everysec, no$/],
    [{ WEIR_PREFIX: 'a{b}' }, [], /must have 1 to 64 characters/],
    [{ WEIR_SESSION_MIN_TTL: 'soon' }, [], /must be a duration such as/],
    [{ WEIR_BROKER_SESSION_TTL: '10ms' }, [], /must be at least 100ms/],
    [{ WEIR_EVENT_RETENTION: '0' }, [], /whole number from 1 to/],
    [{ WEIR_MAX_NODE_BYTES: '1 apple' }, [], /must be a size from 1 to 256MiB/],
    [{ WEIR_MAX_BODY_BYTES: '1GiB' }, [], /must be a size from 1 to 256MiB/],
    [{ WEIR_REDIS_MAXMEMORY: '0' }, [], /must be a size from 1MiB/],
    [{ WEIR_AUTO_CREATE_TOPICS: 'maybe' }, [], /must be one of true, false$/],
    [{ WEIR_CORS_ORIGINS: 'https://a.example,b.example' }, [], /must be origins such as/],
    [{ WEIR_ALLOWED_HOSTS: 'weir.example:7070' }, [], /must be host names without ports/],
    [{ WEIR_TRUST_PROXY: 'proxy.example' }, [], /"proxy.example" is neither an address nor a network$/],
    [{ WEIR_TRUST_PROXY: '10.0.0.0/8,' }, [], /"" is neither an address nor a network$/],
    [{ WEIR_ADDRESS_SHARE: '0%' }, [], /must be a percentage from 1% to 100%$/],
    [{ WEIR_LOG_LEVEL: 'loud' }, [], /must be one of trace, debug, info, warn, error, fatal, silent$/],
    [{}, ['--port'], /^--port needs a value: --port <port>$/],
    [{}, ['--host', '--port=1'], /^--host needs a value/],
    [{}, ['start'], /^"start" is not an option/],
  ];
  for (const [env, argv, message] of cases) {
    const found = problems(env, argv);
    t.equal(found.length, 1, JSON.stringify([env, argv, found]));
    t.match(found[0], message);
  }
});

t.test('values that contradict each other are refused', async (t) => {
  t.match(problems({ WEIR_SESSION_MIN_TTL: '1h', WEIR_SESSION_MAX_TTL: '1m' }), [/more than WEIR_SESSION_MAX_TTL/]);
  t.match(problems({ WEIR_MAX_NODE_BYTES: '2MiB', WEIR_MAX_BODY_BYTES: '1MiB' }), [/more than WEIR_MAX_BODY_BYTES/]);
});

t.test('all problems are reported at once', async (t) => {
  const found = problems({ WEIR_PROT: '1', WEIR_PORT: 'x', WEIR_LOG_LEVEL: 'loud' }, ['--hots', 'x', 'y']);
  for (const part of ['--hots', '"y"', 'WEIR_PROT', 'WEIR_PORT', 'WEIR_LOG_LEVEL']) {
    t.ok(
      found.some((line) => line.startsWith(part)),
      part,
    );
  }
});

t.test('variables that Kubernetes sets for a Service named weir are explained', async (t) => {
  const found = problems({ WEIR_PORT: 'tcp://10.0.0.1:7070', WEIR_PORT_7070_TCP: 'tcp://10.0.0.1:7070' });
  t.equal(found.length, 2);
  for (const line of found) t.match(line, /enableServiceLinks: false/);
});

t.test('no error message and no description contains the password of Redis', async (t) => {
  const found = problems({ WEIR_REDIS_URL: 'http://user:secret@redis' });
  t.match(found, [/^WEIR_REDIS_URL must be a URL such as redis:/]);
  t.notMatch(found.join(), /secret@redis/);

  const described = describeConfig(
    load({
      WEIR_REDIS_URL: 'redis+sentinel://user:sec%40ret@one,two:26380/main/1',
      WEIR_REDIS_SENTINEL_PASSWORD: 'secret',
    }),
  );
  t.equal(described.redisUrl, 'redis+sentinel://***@one,two:26380/main/1');
  t.equal(described.redisSentinelPassword, '***');
  t.equal(described.port, 7070);
  t.equal(describeConfig(load({ WEIR_REDIS_URL: 'redis://redis:6379' })).redisUrl, 'redis://redis:6379');
  t.notOk('redisUrl' in describeConfig(load()));
});

t.test('the error for an invalid Redis URL says what is allowed', async (t) => {
  const cases: [url: string, problem: RegExp][] = [
    ['redis', /must be a URL such as redis:/],
    ['redis://', /must be a URL such as redis:/],
    ['redis://host:70000', /must be a URL such as redis:/],
    ['redis://host/0?db=1', /must be a URL such as redis:/],
    ['redis://host/x', /must end with the number of a database/],
    ['redis://host/0/1', /must end with the number of a database/],
    ['redis://one,two', /must name one host; only redis\+sentinel/],
    ['redis://secret@host', /must have a password after the user/],
    ['redis://:sec%ret@host', /must be percent-encoded: write % as %25/],
    ['redis+sentinel://host', /must name the primary behind the Sentinels/],
    ['redis+cluster://host/1', /must name no database/],
    ['unix://redis.sock', /must be a URL such as redis:/],
  ];
  for (const [url, problem] of cases) {
    const [found = '', ...more] = problems({ WEIR_REDIS_URL: url });
    t.match(found, problem, url);
    t.same(more, []);
    t.notMatch(found, /secret@|sec%ret/);
  }
  const mixed = problems({
    WEIR_REDIS_URL: 'redis://host',
    WEIR_REDIS_TLS_CA: '/ca.pem',
    WEIR_REDIS_TLS_KEY: '/key.pem',
    WEIR_REDIS_SENTINEL_PASSWORD: 'secret',
  });
  t.match(mixed, [
    /^WEIR_REDIS_TLS_CA is set, but WEIR_REDIS_URL does not use TLS/,
    /^WEIR_REDIS_TLS_KEY is set, but/,
    /^WEIR_REDIS_TLS_CERT and WEIR_REDIS_TLS_KEY must be set together: WEIR_REDIS_TLS_CERT is missing/,
    /^WEIR_REDIS_SENTINEL_PASSWORD is set, but WEIR_REDIS_URL does not use Sentinel/,
  ]);
});

t.test('the URL of a store gives its topology, its addresses and the credentials', async (t) => {
  t.same(parseRedisUrl('redis://host'), {
    topology: 'standalone',
    tls: false,
    db: 0,
    address: { host: 'host', port: 6379 },
  });
  t.same(parseRedisUrl('rediss://user:p%40ss%3A@[::1]:6380/3'), {
    topology: 'standalone',
    username: 'user',
    password: 'p@ss:',
    tls: true,
    db: 3,
    address: { host: '::1', port: 6380 },
  });
  t.same(parseRedisUrl('unix://:secret@/run/redis.sock'), {
    topology: 'standalone',
    password: 'secret',
    tls: false,
    db: 0,
    address: { path: '/run/redis.sock' },
  });
  t.same(parseRedisUrl('redis+sentinel://:secret@one,two:26380/main/2'), {
    topology: 'sentinel',
    password: 'secret',
    tls: false,
    db: 2,
    sentinels: [
      { host: 'one', port: 26_379 },
      { host: 'two', port: 26_380 },
    ],
    primary: 'main',
  });
  t.same(parseRedisUrl('rediss+cluster://one:7000,two:7001'), {
    topology: 'cluster',
    tls: true,
    db: 0,
    nodes: [
      { host: 'one', port: 7000 },
      { host: 'two', port: 7001 },
    ],
  });
});

t.test('--help describes every option, also if other options are invalid', async (t) => {
  const help = loadConfig({ WEIR_PORT: 'x' }, ['--unknown', '--help']);
  t.equal(help.kind, 'help');
  const text = help.kind === 'help' ? help.text : '';
  const documented = [
    ...['HOST', 'PORT', 'ADVERTISED_URL', 'BROKER_ID', 'RACK', 'DATA_DIR', 'REDIS_URL', 'APPENDFSYNC', 'PREFIX'],
    ...[
      'SESSION_MIN_TTL',
      'SESSION_MAX_TTL',
      'BROKER_SESSION_TTL',
      'PRODUCER_ID_EXPIRATION',
      'EVENT_RETENTION',
      'OFFSETS_RETENTION',
      'MAX_NODE_BYTES',
    ],
    ...['REDIS_TLS_CA', 'REDIS_TLS_CERT', 'REDIS_TLS_KEY', 'REDIS_TLS_SERVERNAME'],
    ...['REDIS_SENTINEL_USERNAME', 'REDIS_SENTINEL_PASSWORD'],
    ...[
      'MAX_BODY_BYTES',
      'AUTO_CREATE_TOPICS',
      'KAFKA_REST',
      'REDIS_MAXMEMORY',
      'CORS_ORIGINS',
      'ALLOWED_HOSTS',
      'LOG_LEVEL',
    ],
  ];
  for (const name of documented) {
    t.match(text, new RegExp(`WEIR_${name}\\s`), name);
    t.ok(text.includes(`--${name.toLowerCase().replaceAll('_', '-')}`), name);
  }
  t.match(text, /--port <port> .* default 7070/);
  t.equal(loadConfig({}, ['-h']).kind, 'help');
});

t.test('--print-token asks for a token in place of a start', async (t) => {
  t.same(loadConfig({}, ['--print-token', 'billing-2026']), { kind: 'token', id: 'billing-2026' });
  t.throws(() => loadConfig({}, ['--print-token', 'Billing']), { message: /1 to 64 of the characters a-z 0-9 -/ });
  t.throws(() => loadConfig({}, ['--print-token']), { message: /needs a value: --print-token <id>/ });
});

t.test('--version prints the version of the package', async (t) => {
  const { version } = JSON.parse(readFileSync(`${projectRoot()}/package.json`, 'utf8'));
  t.same(loadConfig({}, ['--version']), { kind: 'version', text: version });
  t.same(loadConfig({}, ['-v']), { kind: 'version', text: version });
});

t.test('Redis is installed into a clone, and for an installed package into the cache of the user', async (t) => {
  t.equal(installFolder({}, '/src/weirkeeper'), '/src/weirkeeper/.redis');
  t.equal(installFolder({ XDG_CACHE_HOME: '/cache' }, '/usr/lib/node_modules/weirkeeper'), '/cache/weirkeeper');
  t.match(installFolder({}, '/usr/lib/node_modules/weirkeeper'), /.\/\.cache\/weirkeeper$/);
});

t.test('the command search path is the list of folders in PATH', async (t) => {
  t.same(commandSearchPath({ PATH: '/usr/bin::/bin' }), ['/usr/bin', '/bin']);
  t.same(commandSearchPath({}), []);
});
