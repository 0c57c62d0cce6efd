// GET /v1/stats/stream: one sample a second, shared by all readers, after those of the last minutes.
import t from 'tap';
import { statsSample } from '../../../schemas/stats.ts';
import { percentileOf, RequestDurations } from '../../../src/broker/request-durations.ts';
import { mergeSamples, type ProcessSample, ServerStats, samplesMax } from '../../../src/broker/server-stats.ts';
import { openEventStream } from '../../helpers/event-stream.ts';
import { createTopic, produce } from '../../helpers/groups.ts';
import { eventually, http, metric, startTestServer } from '../../helpers/server.ts';

t.test('a stream has the samples so far, then one each second, with what was done', async (t) => {
  const server = await startTestServer(t);
  await createTopic(server.url, 'orders', 1);
  const early = await openEventStream(t, `${server.url}/v1/stats/stream`);
  t.equal(early.response.status, 200);
  t.match(early.response.headers.get('content-type'), /^text\/event-stream/);
  await produce(server.url, 'orders', 0, [1, 2, 3]);
  await http(`${server.url}/v1/topics/orders/partitions/0/records`);
  const offsets = [{ topic: 'orders', partition: 0, offset: 1 }];
  await http(`${server.url}/v1/groups/slow/offsets`, 'POST', { offsets });
  const sum = (field: string) => early.messages.reduce((total, { data }) => total + data[field], 0);
  await eventually(() => sum('recordsInPerSec') === 3 && sum('recordsOutPerSec') === 3, 'the records are counted once');
  t.ok(sum('bytesInPerSec') > 0 && sum('requestsPerSec') >= 3);
  const lagging = await early.message(({ data }) => data.lag.length > 0, 'the lag of groups');
  t.same(lagging.data.lag, [{ group: 'slow', lag: 2 }]);
  await early.message(({ data }) => data.p99Ms > 0 && data.connections > 0, 'durations and connections');
  await early.message(
    ({ data }) => data.storeMemoryBytes > 0 && data.sessions >= 1 && data.nodes > 10,
    'figures of the cluster',
  );
  for (const { data, id } of early.messages) {
    t.ok(statsSample.strict().safeParse(data).success, JSON.stringify(data));
    t.equal(id, String(data.at));
  }
  t.equal(await metric(server, 'weir_stats_streams_open'), 1);

  const late = await openEventStream(t, `${server.url}/v1/stats/stream`);
  const [first, second] = early.messages;
  await late.message(({ id }) => id === first!.id, 'what others have had');
  const resumed = await openEventStream(t, `${server.url}/v1/stats/stream`, { 'last-event-id': first!.id! });
  await resumed.message(({ id }) => id === second!.id, 'the next one');
  t.notOk(
    resumed.messages.some(({ id }) => id === first!.id),
    'a client that had a sample does not get it again',
  );
  t.match(await http(`${server.url}/v1/stats/stream?since=1`), { status: 400 });
});

t.test('the history is bounded, and a new process takes that of the others', (t) => {
  const stats = new ServerStats();
  const sampleAt = (at: number) => mergeSamples([{ ...nothing, at }]);
  for (let at = 1; at <= samplesMax + 50; at += 1) stats.add(sampleAt(at));
  t.equal(stats.since(0).length, samplesMax);
  t.equal(stats.since(0)[0]!.at, 51);
  const fresh = new ServerStats();
  const seen: number[] = [];
  fresh.follow(({ at }) => seen.push(at));
  fresh.take([sampleAt(samplesMax + 51)]);
  fresh.take(stats.since(0));
  t.same(
    fresh.since(0).map(({ at }) => at),
    [...stats.since(0).slice(1), sampleAt(samplesMax + 51)].map(({ at }) => at),
  );
  t.same(seen, [samplesMax + 51], 'older ones are not news');
  t.end();
});

t.test('samples of processes add up; percentiles are those of all requests', (t) => {
  const durations = new RequestDurations();
  for (let i = 0; i < 98; i += 1) durations.note(1, false);
  durations.note(500, false);
  durations.note(500, false);
  durations.note(30_000, true);
  const { requests, durations: buckets } = durations.take();
  t.equal(requests, 101);
  t.equal(durations.take().requests, 0);
  t.ok(percentileOf(buckets, 0.5)! >= 1 && percentileOf(buckets, 0.5)! < 1.2);
  t.ok(percentileOf(buckets, 0.99)! >= 500 && percentileOf(buckets, 0.99)! < 600);
  t.equal(percentileOf([], 0.5), null);
  const merged = mergeSamples([
    { ...nothing, at: 5, requests, durations: buckets, connections: 2, sessions: 7, eventLoopLagMs: 3 },
    { ...nothing, at: 6, requests: 1, connections: 3, sessions: 6, lag: [{ group: 'g', lag: 1 }] },
  ]);
  t.match(merged, {
    at: 6,
    requestsPerSec: 102,
    connections: 5,
    sessions: 7,
    eventLoopLagMs: 3,
    lag: [{ group: 'g', lag: 1 }],
  });
  t.equal(merged.p50Ms, percentileOf(buckets, 0.5));
  t.end();
});

const nothing: ProcessSample = {
  at: 0,
  requests: 0,
  durations: [],
  recordsIn: 0,
  bytesIn: 0,
  recordsOut: 0,
  bytesOut: 0,
  connections: 0,
  sockets: 0,
  watches: 0,
  eventLoopLagMs: 0,
  sessions: 0,
  nodes: 0,
  storeMemoryBytes: 0,
  lag: [],
};
