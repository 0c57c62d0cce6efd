// Readers that share a read: many that ask at once cost one call of the store, and none gets what was read before it asked.
import t, { type Test } from 'tap';
import { asRecords } from '../../../src/broker/log/read-forms.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t, { batchCacheBytes: 0 });
const { broker, url } = server;
const records = `${url}/v1/topics/t/partitions/0/records`;
await http(`${url}/v1/topics`, 'POST', { name: 't' });
const topic = await broker.topics.get('t');
const request = { topic, partition: 0, offset: 0, maxRecords: 10, maxBytes: 1000 };

/** Holds back the replies of the store to reads, until `release` is called; `calls` counts them. */
function holdReads(t: Test) {
  const { logs } = broker.store;
  const read = logs.read.bind(logs);
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const held = { calls: 0, replies: 0, release };
  t.intercept(logs, 'read', {
    value: async (...args: Parameters<typeof read>) => {
      held.calls += 1;
      const reply = await read(...args);
      held.replies += 1;
      await released;
      return reply;
    },
  });
  return held;
}

t.test('a read that begins after an append was acknowledged has its record, whoever else is reading', async (t) => {
  const held = holdReads(t);
  const before = http(`${records}?offset=0`);
  await eventually(() => held.replies === 1, 'the store has replied to the first read');
  t.equal((await http(`${records}`, 'POST', { records: [{ value: 'acknowledged' }] })).status, 200);
  const after = http(`${records}?offset=0`);
  await eventually(() => held.replies === 2, 'the second read asks the store');
  held.release();
  t.match(await before, { body: { records: [] } });
  t.match(await after, { body: { records: [{ value: 'acknowledged' }] } });
});

t.test('reads that begin in one turn of the event loop share a call', async (t) => {
  const held = holdReads(t);
  held.release();
  const results = await Promise.all(Array.from({ length: 100 }, () => broker.logReader.fetch(request)));
  t.equal(held.calls, 1);
  t.ok(results.every(({ records }) => records.count === 1));
});

t.test('readers that asked before a read began join it later, others do not', async (t) => {
  const held = holdReads(t);
  const askedAt = performance.now();
  const first = broker.logReader.fetch(request);
  await eventually(() => held.replies === 1, 'the read is in flight');
  const waited = broker.logReader.fetch({ ...request, askedAt }, asRecords);
  const fresh = broker.logReader.fetch(request);
  await eventually(() => held.replies === 2, 'the fresh read is in flight');
  held.release();
  await Promise.all([first, waited, fresh]);
  t.equal(held.calls, 2);
});
