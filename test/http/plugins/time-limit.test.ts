// A request that takes several calls of the store has one time limit for all of them.
import { pino } from 'pino';
import t from 'tap';
import { startServer } from '../../../src/server.ts';
import { startRedisNode } from '../../../testbed/redis-node.ts';
import { startFaultyNetwork } from '../../helpers/faulty-network.ts';
import { http, testConfig } from '../../helpers/server.ts';

t.test(
  'a request gets its response in time, and only one, if the store is slow at each step; long polls are not limited',
  async (t) => {
    const redis = await startRedisNode(t, []);
    const network = await startFaultyNetwork(t, `http://127.0.0.1:${redis.port}`);
    const complaints: string[] = [];
    const log = pino({ level: 'warn' }, { write: (line: string) => complaints.push(line) });
    const server = await startServer(
      { ...testConfig, storeTimeoutMs: 2000 },
      { url: `redis://127.0.0.1:${network.port}` },
      log,
    );
    t.teardown(() => server.close());
    const v1 = `${server.url}/v1`;
    const session = (await http(`${v1}/sessions`, 'POST', { ttl: '1m' })).body.session;
    const node = await http(`${v1}/nodes/a`, 'PUT', 'x');
    const put = () => http(`${v1}/nodes/b`, 'PUT', 'y', { 'Weir-Session': session });
    await http(`${v1}/topics`, 'POST', { name: 'slow' });
    await http(`${v1}/groups/g/members`, 'POST', { memberId: 'm', topics: ['slow'] });

    // Each call gets its reply within the limit of one call.
    network.delay(1200);
    const etag = { 'If-None-Match': node.headers.get('etag')! };
    const [written, topic, consumed, head, one, waiting] = await Promise.all([
      put(),
      http(`${v1}/topics/slow`),
      http(`${v1}/groups/g/members/m/records`),
      http(`${v1}/topics/slow`, 'HEAD'),
      http(`${v1}/nodes/a`),
      http(`${v1}/nodes/a?wait=3s`, 'GET', undefined, etag),
    ]);
    network.delay(0);
    const unavailable = { status: 503, body: { code: 'STORE_UNAVAILABLE', retryable: true } };
    t.match(written, { ...unavailable, body: { detail: /unknown/ } });
    t.match(topic, { ...unavailable, body: { detail: /Nothing was done/ } });
    t.match(consumed, { ...unavailable, body: { detail: /same after/ } });
    t.equal(head.status, 503);
    t.equal(one.status, 200);
    t.equal(waiting.status, 304);

    t.equal((await http(`${v1}/topics/slow`)).status, 200, 'and then it serves');
    t.ok((await put()).status < 300);
    t.same(
      complaints.filter((line) => /already sent|reply\.sent/i.test(line)),
      [],
    );
  },
);
