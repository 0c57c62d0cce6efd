// Secrets given by files, or made by clients, stand nowhere but where they were given: not in the log, the metrics, responses, the list
// of processes, the audit log, nor in Redis.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { startRedisNode } from '../testbed/redis-node.ts';
import { temporaryFolder } from '../testbed/scope.ts';
import { writePolicy } from './helpers/access.ts';
import { askAt, makeTlsFiles } from './helpers/tls.ts';
import { startWorkers } from './helpers/workers.ts';

t.test('a server with workers shows no secret anywhere', async (t) => {
  const password = 'p4ssw0rd-of-redis';
  const redis = await startRedisNode(t, [`user weir on >${password} ~* &* +@all`]);
  const folder = temporaryFolder(t);
  const urlFile = `${folder}/url`;
  writeFileSync(urlFile, `redis://weir:${password}@127.0.0.1:${redis.port}\n`, { mode: 0o600 });
  const policy = await writePolicy(t, ['admin'], 'public: [metrics]\nallow:\n  - { who: admin, admin: true }\n');
  const files = await makeTlsFiles(t);
  const server = await startWorkers(t, {
    WEIR_REDIS_URL: '',
    WEIR_REDIS_URL_FILE: urlFile,
    WEIR_ACCESS_FILE: policy.file,
    WEIR_AUDIT_FILE: `${folder}/audit`,
    WEIR_AUDIT_WRITES: 'true',
    WEIR_TLS_CERT: files.config.tlsCert,
    WEIR_TLS_KEY: files.config.tlsKey,
    WEIR_LOG_LEVEL: 'trace',
  });
  const ask = askAt(server.url, files.authority);
  const token = policy.tokens.admin!.token;
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const seen: string[] = [];
  const call = async (method: string, path: string, body?: string, more = {}) => {
    const answer = await ask(method, path, { body, headers: { ...headers, ...more } });
    seen.push(JSON.stringify([answer.headers, answer.body]));
    return answer.body;
  };
  const session = JSON.parse(JSON.stringify(await call('POST', '/v1/sessions', '{}'))) as { session: string };
  seen.length = 0;
  await call('PUT', '/v1/nodes/a', 'x', { 'weir-session': session.session });
  for (const path of ['/v1/cluster', '/v1/access/me', '/metrics', '/v1/none', '/v1/nodes/b', '/openapi.json']) {
    await call('GET', path);
  }
  await call('GET', '/v1/cluster', undefined, { authorization: `Bearer ${token}x` });
  const key = readFileSync(files.config.tlsKey, 'utf8').split('\n')[1] ?? '';
  const places: Record<string, string> = {
    responses: seen.join('\n'),
    log: JSON.stringify(server.log),
    processes: execFileSync('ps', ['-ww', '-eo', 'args']).toString(),
    audit: readFileSync(`${folder}/audit`, 'utf8'),
    redis: JSON.stringify(await everything(redis.ask)),
  };
  const secrets: Record<string, string> = {
    password,
    key,
    token: token.slice(-43),
    handle: session.session.split('.')[1] ?? '',
  };
  for (const [place, text] of Object.entries(places)) {
    t.ok(text.length > 100, `${place} is looked at`);
    for (const [name, secret] of Object.entries(secrets)) {
      t.ok(secret.length > 10);
      t.notOk(text.includes(secret), `the ${name} in the ${place}`);
    }
  }
});

/** All keys of a Redis, and all that is in them. */
async function everything(ask: (...command: string[]) => Promise<unknown>): Promise<unknown[]> {
  const reads: Record<string, string[]> = {
    string: ['GET'],
    hash: ['HGETALL'],
    set: ['SMEMBERS'],
    zset: ['ZRANGE', '0', '-1'],
    stream: ['XRANGE', '-', '+'],
  };
  const keys = (await ask('KEYS', '*')) as string[];
  return Promise.all(
    keys.map(async (key) => {
      const [verb = 'GET', ...more] = reads[String(await ask('TYPE', key))] ?? [];
      return [key, await ask(verb, key, ...more)];
    }),
  );
}
