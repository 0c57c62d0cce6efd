// Stored data outlives the program. This version opens the data of the previous one, a migration survives a crash and runs
// once, and programs that do not know the layout stop.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { type Logger, pino } from 'pino';
import t, { type Test } from 'tap';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { coordinationKeys, partitionKeys } from '../../src/store/keys.ts';
import { migrate } from '../../src/store/migrations/migrate.ts';
import type { Migration } from '../../src/store/migrations/migrations.ts';
import { migrations } from '../../src/store/migrations/migrations.ts';
import type { StoredData } from '../../src/store/migrations/stored-data.ts';
import { Store } from '../../src/store/store.ts';
import { decodeEntry, type Transaction } from '../../src/store/tree/node-codec.ts';
import type { DataFacts } from '../../testbed/data-fixture.ts';
import { temporaryFolder } from '../../testbed/scope.ts';
import { openPipeline } from '../helpers/pipeline.ts';
import { startServerProcess } from '../helpers/process.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, http, startTestServer, testConfig } from '../helpers/server.ts';
import { storedNodes } from '../helpers/stored-nodes.ts';

const archiveOf = (layout: number) =>
  fileURLToPath(new URL(`../../../test/fixtures/data-layout-${layout}.tar.gz`, import.meta.url));
const { root, node, children, events, offsetEvents, olderEvents, olderOffsetEvents } = coordinationKeys('weir');

/** A data directory of an older layout. Keys that expire have as much time left as when it was saved. */
function olderData(t: Test, layout: number): { dataDir: string; facts: DataFacts } {
  const dataDir = temporaryFolder(t);
  execFileSync('tar', ['-xzf', archiveOf(layout), '-C', dataDir]);
  const facts: DataFacts = JSON.parse(readFileSync(join(dataDir, 'facts.json'), 'utf8'));
  const passedMs = Date.now() - facts.madeAt;
  for (const name of readdirSync(join(dataDir, 'appendonlydir')).filter((file) => file.endsWith('.incr.aof'))) {
    const file = join(dataDir, 'appendonlydir', name);
    const commands = readFileSync(file, 'latin1');
    const moved = commands.replace(/(PXAT\r\n\$13\r\n)(\d{13})/g, (_, before, at) => before + (Number(at) + passedMs));
    writeFileSync(file, moved, 'latin1');
  }
  return { dataDir, facts };
}

interface TransactionPaths {
  zxid: number;
  paths: string[];
}

const pathsOf = ({ zxid, events }: Transaction): TransactionPaths => ({ zxid, paths: events.map(({ path }) => path) });

/** The transactions in the streams. In those of layout 2 and 3 each is an entry, of a running sum and then its events. */
async function historyOf(
  socketPath: string,
  layout: number,
): Promise<{ main: TransactionPaths[]; offsets: TransactionPaths[] }> {
  const redis = new Redis({ path: socketPath, replyMapping: 'legacy' });
  try {
    if (layout > 3) return { main: await newer(redis, events), offsets: await newer(redis, offsetEvents) };
    return { main: await older(redis, olderEvents), offsets: await older(redis, olderOffsetEvents) };
  } finally {
    // Later it would miss a Redis that has been stopped.
    redis.disconnect();
  }
}

async function newer(redis: Redis, key: string): Promise<TransactionPaths[]> {
  return (await redis.xrangeBuffer(key, '-', '+')).flatMap(([, [, stored]]) => decodeEntry(stored!, 0).map(pathsOf));
}

async function older(redis: Redis, key: string): Promise<TransactionPaths[]> {
  return (await redis.xrangeBuffer(key, '-', '+')).map(([id, [, stored]]) => {
    const paths: string[] = [];
    for (let at = 8; at < stored!.length; ) {
      const path = at + 12 + stored![at + 1]! + stored!.readUInt16BE(at + 2);
      const data = path + stored!.readUInt32BE(at + 4);
      paths.push(stored!.toString('utf8', path, data));
      at = data + stored!.readUInt32BE(at + 8);
    }
    return { zxid: Number.parseInt(id.toString(), 10), paths };
  });
}

const untilFarAway = { producerIdExpirationMs: 2 ** 50, offsetsRetentionMs: 2 ** 50 };

const opensAndWorks = async (t: Test, layout: number) => {
  const { dataDir, facts } = olderData(t, layout);
  const { socketPath } = await startTestRedis(t, { dataDir });
  const before = await historyOf(socketPath, layout);
  const { url } = await startTestServer(t, untilFarAway, { socketPath });
  t.equal(await redisCommand(socketPath, ['HGET', root, 'layout']), '6');
  t.equal(
    await redisCommand(socketPath, ['HGET', root, 'run_id']),
    null,
    'programs of layout 2 are refused without it',
  );

  await t.test('a watcher resumes from any zxid, and gets what was stored', async (t) => {
    const store = newStore(t, socketPath, migrations);
    await store.open();
    t.ok(before.main.length > 20 && before.offsets.length > 0, 'there is history of both kinds');
    for (const history of ['main', 'offsets'] as const) {
      const upTo = before[history].at(-1)!.zxid;
      const { transactions, complete } = await store.events.range(history, 0, upTo, 1000);
      t.same([transactions.map(pathsOf), complete], [before[history], true]);
      const middle = before[history][before[history].length >> 1]!;
      const after = await store.events.range(history, middle.zxid, upTo, 1000);
      t.same(after.transactions.map(pathsOf), before[history].slice((before[history].length >> 1) + 1));
    }
    await store.events.checkResume(before.main[0]!.zxid);
    t.same(await redisCommand(socketPath, ['EXISTS', olderEvents, olderOffsetEvents]), 0);
  });

  await t.test('nodes of every kind, records, committed offsets read as they did', async (t) => {
    const latest = ({ records }: any) =>
      [...new Map(records.map(({ key, value }: any) => [key, value]))].filter(([, value]) => value !== null).sort();
    for (const [path, before] of Object.entries<any>(facts.reads)) {
      const { status, body } = await http(`${url}/v1${path}`);
      t.equal(status, 200, path);
      if (path.startsWith('/topics/compacted/')) t.same(latest(body), latest(before), path);
      else if (path === '/topics/compacted') t.match(body, { topicId: before.topicId, config: before.config }, path);
      else t.match(body, before, path);
    }
    t.equal((await http(`${url}/v1/nodes/kinds/gone`)).status, 404);
  });

  await t.test('the nodes are counted', async (t) => {
    const store = newStore(t, socketPath, migrations);
    await store.open();
    await eventually(async () => {
      const counted = await store.nodeCounts();
      const stored = await storedNodes(socketPath);
      return counted.nodes === stored.nodes && counted.ephemerals === stored.ephemerals && stored.nodes > 30;
    }, 'the counts are those of the nodes');
  });

  await t.test('the session survives the outage, and still owns its nodes', async (t) => {
    const handle = facts.session;
    t.equal((await http(`${url}/v1/sessions/${handle}`, 'PUT')).status, 200);
    t.equal((await http(`${url}/v1/nodes/kinds/another?mode=ephemeral&session=${handle}`, 'PUT', '')).status, 201);
    const { body } = await http(`${url}/v1/nodes/kinds/queue-`, 'POST', '');
    t.match(body.path, /queue-\d{10}$/);
    t.notOk(facts.reads[`/nodes${body.path}?view=node`], 'no sequence number is used twice');
    t.equal((await http(`${url}/v1/sessions/${handle}`, 'DELETE')).status, 204);
    for (const name of ['ephemeral', 'another']) t.equal((await http(`${url}/v1/nodes/kinds/${name}`)).status, 404);
  });

  await t.test('repeats are recognized: by Idempotency-Key, and of the named producer', async (t) => {
    const node = await http(`${url}/v1/nodes/kinds/once`, 'PUT', 'answered once', {
      'idempotency-key': 'fixture-node',
    });
    t.equal(node.headers.get('idempotency-replayed'), 'true');
    t.same(await redisCommand(socketPath, ['KEYS', '*idempotency:fixture-node']), [], 'the key itself is not stored');
    const partition = `${url}/v1/topics/plain/partitions/1/records`;
    const headers = { 'weir-fence': 'writer=7', 'idempotency-key': 'fixture-records' };
    const again = await http(partition, 'POST', { records: [{ value: 'fenced' }] }, headers);
    // Layout 2 stores no fence with the key. As the fence belongs to the request, this is refused rather than done again.
    if (layout === 2) t.match(again, { status: 422, body: { code: 'IDEMPOTENCY_KEY_REUSED' } });
    else t.equal(again.headers.get('idempotency-replayed'), 'true');
    const older = await http(partition, 'POST', { records: [{ value: 'no' }] }, { 'weir-fence': 'writer=6' });
    t.match(older, { status: 409, body: { code: 'FENCED', token: 7 } });

    const produce = (sequence: number) => {
      const records = [0, 1].map((n) => ({ partition: 0, key: `k${n}`, value: { sequence, n }, headers: { h: 'v' } }));
      const producer = { ...facts.producer, sequence };
      return http(`${url}/v1/topics/plain/records`, 'POST', { records, producer });
    };
    const repeated = await produce(2);
    t.equal(repeated.headers.get('idempotency-replayed'), 'true');
    t.match(await produce(3), { status: 200, body: { results: [{ baseOffset: 6, count: 2 }] } });
    const next = await http(`${url}/v1/producers`, 'POST', { name: 'named' });
    t.match(next.body, { id: facts.producer.id, epoch: facts.producer.epoch + 1 });
  });

  await t.test('a session goes on with its writes, and repeats of the last ones get the first results', async (t) => {
    if (!facts.writes) return;
    const { session, lastSeq, exchanged } = facts.writes;
    const socket = await openPipeline(t, url);
    t.match(await socket.ask({ op: 'session', attach: session }), { ok: { lastSeq } });
    for (const { request, response } of exchanged.slice(9)) {
      const { id: _, ...repeated } = request;
      const { id: __, ...expected } = response;
      t.match(await socket.ask(repeated), { ...expected, replayed: true }, `write ${String(request.seq)}`);
    }
    const [oldest] = exchanged;
    t.match(await socket.ask({ ...oldest!.request }), { error: { code: 'OUT_OF_ORDER_SEQUENCE' } });
    const next = { op: 'set', path: '/kinds/by-socket', data: 'after', seq: lastSeq + 1 };
    t.match(await socket.ask(next), { ok: { stat: { version: 297 } } });
    t.match(await socket.ask(next), { ok: { stat: { version: 297 } }, replayed: true });
    t.match(await socket.ask({ op: 'session', end: true }), { ok: {} });
    t.same(await redisCommand(socketPath, ['KEYS', `*${session.split('.')[0]}*`]), []);
  });

  await t.test('the member of the group is still there, and commits', async (t) => {
    const { memberId, memberEpoch, memberSecret, assignment: owned } = facts.member;
    // Members of layout 2 have no secret.
    const headers: Record<string, string> = memberSecret === undefined ? {} : { 'weir-member': String(memberSecret) };
    const send = (path: string, body: unknown) => http(`${url}/v1/groups/living/${path}`, 'POST', body, headers);
    const beat = await send(`members/${memberId}/heartbeat`, { memberEpoch, owned });
    t.equal(beat.status, 200);
    const offsets = [{ topic: 'plain', partition: 0, offset: 5 }];
    const commit = await send('offsets', { memberId, memberEpoch: beat.body.memberEpoch, offsets });
    t.equal(commit.status, 200);
  });
};

for (const layout of [2, 3, 4, 5]) {
  t.test(`a data directory of layout ${layout} opens with all its data, and works`, (t) => opensAndWorks(t, layout));
}

const silent = pino({ level: 'silent' });

function newStore(t: Test, socketPath: string, steps: readonly Migration[], log: Logger = silent): Store {
  const store = new Store({ ...testConfig, target: { socketPath }, migrations: steps }, log);
  t.teardown(() => store.close());
  return store;
}

/** Marks each partition's hash and each node right below the root, in two layouts of their own. */
const steps = (
  onPartition: (data: StoredData) => Promise<void> | void = () => {},
): [...typeof migrations, Migration, Migration] => [
  ...migrations,
  {
    from: 6,
    to: 7,
    run: async (data) => {
      for await (const { keys } of data.partitions()) {
        await data.command(keys.partition, (client) => client.hincrby(keys.partition, 'test_mark', 1));
        await onPartition(data);
      }
    },
  },
  {
    from: 7,
    to: 8,
    run: async (data) => {
      for await (const name of data.children('/')) {
        const key = data.keys.node(`/${name}`);
        await data.command(key, (client) => client.hset(key, 'test_mark', name));
      }
    },
  },
];

async function storeOfThisLayout(t: Test): Promise<{ socketPath: string; url: string; partitions: string[] }> {
  const { socketPath } = await startTestRedis(t);
  const { url, close } = await startTestServer(t, {}, { socketPath });
  const partitions: string[] = [];
  for (const name of ['one', 'two']) {
    const { body } = await http(`${url}/v1/topics`, 'POST', { name, partitions: 3 });
    for (let p = 0; p < 3; p++) partitions.push(partitionKeys('weir', body.topicId, p).partition);
  }
  await close();
  return { socketPath, url, partitions };
}

t.test('an interrupted migration continues from the last complete layout, and begins no new epoch', async (t) => {
  const { socketPath, partitions } = await storeOfThisLayout(t);
  const epoch = Number(await redisCommand(socketPath, ['HGET', root, 'zxid'])) / 2 ** 32;
  let visited = 0;
  const cut = newStore(
    t,
    socketPath,
    steps(async () => {
      if (++visited === 4) throw new Error('The process is killed here.');
    }),
  );
  const opening = cut.open().catch(() => undefined);
  await eventually(() => visited >= 4, 'the migration is halfway');
  await cut.close();
  await opening;
  t.match(await redisCommand(socketPath, ['HMGET', root, 'layout', 'migrated_to']), ['8', '6']);
  await redisCommand(socketPath, ['DEL', '{weir}:migration']); // the lock expires

  const store = newStore(t, socketPath, steps());
  await store.open();
  for (const key of partitions) t.ok(Number(await redisCommand(socketPath, ['HGET', key, 'test_mark'])) >= 1);
  const names = (await redisCommand(socketPath, ['ZRANGE', children('/'), '0', '-1'])) as string[];
  for (const name of names) t.equal(await redisCommand(socketPath, ['HGET', node(`/${name}`), 'test_mark']), name);
  t.same(await redisCommand(socketPath, ['HMGET', root, 'layout', 'migrated_to']), ['8', null]);
  t.equal(Math.floor(Number(await redisCommand(socketPath, ['HGET', root, 'zxid'])) / 2 ** 32), Math.floor(epoch));
});

t.test('a broker reports a migration while it migrates older data, and none for data of its layout', async (t) => {
  const { socketPath } = await storeOfThisLayout(t);
  const codes = new Set<string>();
  const migrations = steps(() => void codes.add(store.notOpenError().code));
  const store = newStore(t, socketPath, migrations);
  await store.open();
  t.same([...codes], ['LOADING']);
  t.equal(store.isMigrating, false);
  const onOlderLayout = () => t.fail('the data have the layout of this program');
  await migrate(store.connection, root, { prefix: 'weir', migrations, log: silent, onOlderLayout });
});

t.test('of several brokers that open older data at once, one migrates it and the others wait', async (t) => {
  const { socketPath, partitions } = await storeOfThisLayout(t);
  const stores = Array.from({ length: 4 }, () => newStore(t, socketPath, steps()));
  await Promise.all(stores.map((store) => store.open()));
  for (const key of partitions) t.equal(await redisCommand(socketPath, ['HGET', key, 'test_mark']), '1');
});

t.test('a broker that lost the migration lock to another broker changes nothing any more', async (t) => {
  const { socketPath, partitions } = await storeOfThisLayout(t);
  let visited = 0;
  const slow = newStore(
    t,
    socketPath,
    steps(async (data) => {
      visited += 1;
      // Until its next renewal of the lock fails.
      for (;;) await data.command(root, (client) => client.exists(root));
    }),
  );
  const opening = slow.open();
  await eventually(() => visited === 1, 'the migration has begun');
  await redisCommand(socketPath, ['DEL', '{weir}:migration']);
  await newStore(t, socketPath, steps()).open();
  await opening;
  t.equal(visited, 1);
  const marks = await Promise.all(partitions.map((key) => redisCommand(socketPath, ['HGET', key, 'test_mark'])));
  t.same(marks.map(Number).sort(), [1, 1, 1, 1, 1, 2]);
});

t.test('a running server stops with a clear message when a newer version has migrated the data', async (t) => {
  const dataDir = temporaryFolder(t);
  const { socketPath } = await startTestRedis(t, { dataDir });
  const running = await startServerProcess(t, { WEIR_REDIS_URL: `unix://${socketPath}` });
  const newer = newStore(t, socketPath, steps());
  await newer.open();
  t.equal(await running.exited, 1);
  const fatal = running.log.find(({ level }) => level === 60);
  t.match(fatal?.msg, /layout 8, which a newer version of Weirkeeper has written.*Upgrade this server/);

  await t.rejects(startServerProcess(t, { WEIR_REDIS_URL: `unix://${socketPath}` }), {
    message: /weir: The store holds data of layout 8.*Upgrade this server/,
  });
  await redisCommand(socketPath, ['HSET', root, 'layout', '1']);
  await t.rejects(startServerProcess(t, { WEIR_REDIS_URL: `unix://${socketPath}` }), {
    message: /converts none older than 2\. Start an earlier version on it first/,
  });
  t.equal(await redisCommand(socketPath, ['HGET', root, 'layout']), '1', 'nothing was changed');
});
