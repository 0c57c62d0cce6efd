import { connect } from 'node:net';
import t from 'tap';
import { defaultHttpTimeouts } from '../../../src/http/limits.ts';
import { searchesMax } from '../../../src/http/routes/record-search.ts';
import { eventually, http, metric, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t);
const { url } = server;
let topics = 0;

interface Found {
  records: any[];
  end: any;
  lines: any[];
}

/** Creates a topic. @returns a function that appends, and one that searches */
async function newTopic(partitions: number, config = {}) {
  topics += 1;
  const topic = `${url}/v1/topics/s${topics}`;
  await http(`${url}/v1/topics`, 'POST', { name: `s${topics}`, partitions, config });
  return {
    topic,
    append: (...records: object[]) => http(`${topic}/records`, 'POST', { records }),
    search: async (query: string): Promise<Found> => {
      const { status, headers, body } = await http(`${topic}/records?${query}`);
      if (status !== 200) throw new Error(`${status} ${body.detail}`);
      if (headers.get('content-type') !== 'application/x-ndjson') throw new Error(`${headers.get('content-type')}`);
      const lines = body
        .trimEnd()
        .split('\n')
        .map((line: string) => JSON.parse(line));
      return { lines, records: lines.filter((line: any) => 'offset' in line), end: lines.at(-1).end };
    },
  };
}

/** Searches until there is nothing left. */
async function searchOn(search: (query: string) => Promise<Found>, query: string): Promise<any[]> {
  const all: any[] = [];
  let position = '';
  for (let calls = 0; calls < 1000; calls++) {
    const { records, end } = await search(query + position);
    all.push(...records);
    if (end.next === undefined) return all;
    position = `&position=${encodeURIComponent(end.next)}`;
  }
  throw new Error('The search does not end');
}

const start = Date.now() - 1_000_000;
const values = (records: any[]) => records.map(({ value }) => value);

t.test('the newest records of all partitions come first, and those from a moment on in their order', async (t) => {
  const { append, search } = await newTopic(3);
  for (let i = 0; i < 90; i++) await append({ key: `k${i % 5}`, value: i, partition: i % 3, timestamp: start + i });
  const { records, end } = await search('last=10');
  t.same(values(records), [89, 88, 87, 86, 85, 84, 83, 82, 81, 80]);
  t.match(records[0], { partition: 2, offset: 29, key: 'k4', timestamp: start + 89 });
  t.match(end, { found: 10, next: /^[\w-]+@0:\d+,1:\d+,2:\d+$/ });
  t.equal((await search('')).records.length, 50, '50 without a number');

  const from = await search(`timestamp=${start + 40}&limit=5`);
  t.same(values(from.records), [40, 41, 42, 43, 44]);
  t.same(values((await search('last=3&partition=1')).records), [88, 85, 82]);
  t.same(values((await search('last=2&key=k1')).records), [86, 81]);
  t.match(await search(`timestamp=${Date.now()}`), { records: [], end: { found: 0, next: undefined } });
});

t.test('a search that goes on finds every record once', async (t) => {
  const { append, search } = await newTopic(4);
  const records = Array.from({ length: 400 }, (_, i) => ({
    value: i,
    partition: (i * 7) % 4,
    timestamp: start + (i % 50),
  }));
  for (let i = 0; i < records.length; i += 20) await append(...records.slice(i, i + 20));
  const all = Array.from({ length: 400 }, (_, i) => i);
  for (const query of [
    'last=7',
    'last=1000',
    'last=20&maxBytes=1',
    `timestamp=0&limit=33`,
    'timestamp=0&limit=1000&maxBytes=500',
  ]) {
    const found = await searchOn(search, query);
    t.same(
      values(found).sort((a, b) => a - b),
      all,
      query,
    );
    for (const partition of [0, 1, 2, 3]) {
      const offsets = found.filter((record) => record.partition === partition).map(({ offset }) => offset);
      const sorted = [...offsets].sort((a, b) => (query.startsWith('last') ? b - a : a - b));
      t.same(offsets, sorted, `${query}: partition ${partition} in order`);
    }
  }
});

t.test('key and contains decide by what a reader sees, however it was written', async (t) => {
  const { topic, append, search } = await newTopic(1);
  await append({ key: 'ü"x', value: { text: 'a "quote" and é' } }, { key: 'plain', value: 'line\nfeed' });
  const raw = '{"records":[{"key":"esc\\u0061ped","value":{"n":12345678901234567890,"word":"caf\\u00e9"}}]}';
  await http(`${topic}/records`, 'POST', raw, { 'content-type': 'application/json' });
  await append({
    keyBase64: Buffer.from('bytes').toString('base64'),
    valueBase64: Buffer.from('naïve').toString('base64'),
  });
  await append({ key: 'h', value: 1, headers: { trace: 'abc-7' } }, { key: 'tombstone' });
  const offsets = async (query: string) => (await search(`timestamp=0&${query}`)).records.map(({ offset }) => offset);
  const cases: [name: 'key' | 'contains', text: string, found: number[]][] = [
    ['key', 'ü"x', [0]],
    ['key', 'escaped', [2]],
    ['key', 'bytes', [3]],
    ['key', 'plai', []],
    ['key', 'tombstone', [5]],
    ['contains', 'plai', [1]],
    ['contains', '"quote"', []],
    ['contains', '\\"quote\\"', [0]],
    ['contains', 'é', [0, 2]],
    ['contains', 'line\nfeed', [1]],
    ['contains', '12345678901234567', [2]],
    ['contains', 'naïve', [3]],
    ['contains', 'abc-7', [4]],
    ['contains', 'value', []],
    ['contains', 'timestamp', []],
  ];
  for (const [name, text, found] of cases) {
    t.same(await offsets(`${name}=${encodeURIComponent(text)}`), found, `${name}=${text}`);
  }
  t.same(await offsets('key=plain&contains=feed'), [1]);
  t.same(await offsets('key=h&contains=feed'), []);
});

t.test('one call looks at about maxBytes, and the next one goes on', async (t) => {
  const { append, search } = await newTopic(1);
  const value = 'x'.repeat(1000);
  for (let i = 0; i < 10; i++) await append(...Array.from({ length: 100 }, () => ({ value })));
  await append({ value: 'needle' });
  const { records, end } = await search('last=1&contains=hay&maxBytes=300000');
  t.same(records, []);
  t.ok(end.bytes >= 300_000 && end.bytes < 1_000_000, `${end.bytes} bytes`);
  t.ok(end.next);
  t.equal((await searchOn(search, 'timestamp=0&contains=needle&maxBytes=200000')).length, 1);
});

t.test('compacted and deleted records are passed over', async (t) => {
  const { topic, append, search } = await newTopic(1);
  await append(...Array.from({ length: 50 }, (_, i) => ({ value: i })));
  const { end } = await search('last=10');
  await http(`${topic}/partitions/0/records?before=45`, 'DELETE');
  t.same(values((await search('last=20')).records), [49, 48, 47, 46, 45]);
  t.same((await search(`last=20&position=${end.next}`)).records, [], 'also in a search that goes on');
});

t.test('a fault in the request is named', async (t) => {
  const { topic, search } = await newTopic(2);
  const other = (await (await newTopic(1)).search('last=1')).end;
  t.equal(other.next, undefined);
  const cases: [query: string, status: number, detail: RegExp][] = [
    ['last=1&timestamp=1', 400, /not both/],
    ['limit=1', 400, /limit goes with timestamp/],
    ['last=1001', 400, /1000/],
    ['contains=', 400, /contains/],
    ['position=x', 400, /next of an earlier search/],
    ['position=0:1&partition=0', 400, /leave out partition/],
    ['position=0:1,0:2', 400, /twice/],
    ['position=none@0:1', 404, /earlier topic/],
    ['partition=2', 404, /partition/],
  ];
  for (const [query, status, detail] of cases) {
    t.match(await http(`${topic}/records?${query}`), { status, body: { detail } }, query);
  }
  t.match(await http(`${url}/v1/topics/none/records`), { status: 404, body: { code: 'UNKNOWN_TOPIC' } });
  t.equal((await http(`${topic}/records`, 'HEAD')).status, 405);
  t.ok(await search('last=1'));
});

t.test('searches of clients that do not read are limited, and end after a while', async (t) => {
  const timeouts = { ...defaultHttpTimeouts, responseIdleMs: 3000 };
  const { topic, append } = await newTopic(1);
  const small = await startTestServer(t, {}, server.target, { timeouts });
  const value = 'x'.repeat(500_000);
  for (let i = 0; i < 60; i++) await append({ value });
  const { pathname } = new URL(`${topic}/records`);
  const lazy = () => {
    const socket = connect(Number(new URL(small.url).port), '127.0.0.1');
    t.teardown(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.pause().write(`GET ${pathname}?last=1000&maxBytes=67108864 HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  };
  // One address gets half of what is free.
  for (let i = 0; i < searchesMax / 2; i++) lazy();
  const refused = await eventually(async () => {
    const response = await http(`${small.url}${pathname}?last=1`);
    return response.status === 200 ? undefined : response;
  }, 'a further search is refused');
  t.match(refused, { status: 429, body: { code: 'TOO_MANY_REQUESTS', detail: /searches of records/ } });
  await eventually(async () => (await http(`${small.url}${pathname}?last=1`)).status === 200, 'room is free again');
  await eventually(async () => (await metric(small, 'weir_record_searches_in_flight')) === 0, 'all have ended');
});
