// What the console makes of records: their parts, its filters in a URL, samples of fast tails, and files.
import t from 'tap';
import { csvCell, csvOf, ndjsonOf } from '../../console/src/records/record-export.ts';
import {
  localTimeOf,
  missingIn,
  parseRecordQuery,
  type RecordQuery,
  recordQueryInput,
  searchPath,
  tailPath,
  timeOfLocal,
} from '../../console/src/records/record-query.ts';
import {
  headersOf,
  keyPart,
  matches,
  type PlacedRecord,
  preview,
  sizeOf,
  valuePart,
} from '../../console/src/records/record-view.ts';
import { TailSampler, withNewest } from '../../console/src/records/tail-sampler.ts';

const record = (fields: Partial<PlacedRecord>): PlacedRecord => ({ partition: 0, offset: 1, timestamp: 0, ...fields });

t.test('a value is JSON, text, bytes or nothing', async (t) => {
  const kinds = [{ value: { a: 1 } }, { value: 'hello' }, { valueBase64: 'AP8=' }, {}].map((fields) =>
    valuePart(record(fields)),
  );
  t.same(
    kinds.map(({ kind }) => kind),
    ['json', 'text', 'bytes', 'none'],
  );
  t.same(
    kinds.map(({ bytes }) => [...bytes].length),
    [7, 5, 2, 0],
  );
  t.equal(valuePart(record({ value: null })).kind, 'json', 'null is a value');
  t.equal(keyPart(record({ key: null })).kind, 'none');
  t.same([...keyPart(record({ keyBase64: '/w==' })).bytes], [255]);
});

t.test('a preview is one line of bounded length', async (t) => {
  t.equal(preview(valuePart(record({ value: 'a\n  b\tc' }))), 'a b c');
  t.equal(preview(valuePart(record({ value: 'x'.repeat(1000) })), 10), `${'x'.repeat(10)}…`);
  t.equal(preview(valuePart(record({ valueBase64: 'AP8Q' }))), '00 ff 10');
  t.equal(preview(valuePart(record({}))), '');
});

t.test('headers are listed in their order, also when a name occurs twice', async (t) => {
  const twice = headersOf(
    record({
      headers: [
        ['a', '1'],
        ['a', { base64: 'AA==' }],
        ['b', null],
      ],
    }),
  );
  t.same(twice, [
    { name: 'a', text: '1', isBytes: false },
    { name: 'a', text: 'AA==', isBytes: true },
    { name: 'b', text: null, isBytes: false },
  ]);
  t.equal(sizeOf(record({ key: 'ä', value: 'xyz', headers: { h: '12' } })), 2 + 3 + 3, 'in bytes of UTF-8');
});

t.test('a filter finds the whole key, and a part of anything', async (t) => {
  const one = record({ key: 'ann', value: { city: 'Bern' }, headers: { trace: 'f00' } });
  const asked = (key: string, contains: string) => matches(one, { key, contains });
  t.ok(asked('', '') && asked('ann', 'Bern') && asked('', 'f00') && asked('', 'trace') && asked('', 'an'));
  t.notOk(asked('an', '') || asked('ann', 'Basel'));
  t.ok(matches(record({ valueBase64: btoa('Bern') }), { key: '', contains: 'ern' }), 'bytes are looked at as text');
});

t.test('what is shown is in the URL, and comes back from it', async (t) => {
  const queries: RecordQuery[] = [
    { start: 'latest', at: undefined, offset: undefined, partition: undefined, key: '', contains: '' },
    { start: 'time', at: 1234, offset: undefined, partition: 3, key: 'a&b', contains: 'ü' },
    { start: 'offset', at: undefined, offset: 0, partition: 0, key: '', contains: '' },
  ];
  for (const query of queries) {
    const given = Object.entries(recordQueryInput(query)).filter(([, value]) => value !== undefined);
    t.same(parseRecordQuery(new Map(given.map(([name, value]) => [name, String(value)]))), query);
  }
  const nonsense = new Map([
    ['from', 'somewhere'],
    ['partition', '-1'],
    ['offset', '5'],
  ]);
  t.same(parseRecordQuery(nonsense), queries[0], 'what makes no sense is left out');
});

t.test('a page of records is one search', async (t) => {
  const query = (text: string) => parseRecordQuery(new Map(new URLSearchParams(text)));
  const path = (text: string, next?: string) => searchPath('a.b', query(text), 50, next);
  t.equal(path(''), '/v1/topics/a.b/records?last=50');
  t.equal(path('partition=2&key=a+b'), '/v1/topics/a.b/records?last=50&partition=2&key=a+b');
  t.equal(path('from=earliest'), '/v1/topics/a.b/records?timestamp=0&limit=50');
  t.equal(path('from=offset&partition=2&offset=7'), '/v1/topics/a.b/records?timestamp=0&limit=50&position=2%3A7');
  t.equal(path('partition=2', 'id@2:9'), '/v1/topics/a.b/records?last=50&position=id%402%3A9', 'a position is enough');
  t.equal(tailPath('a', query('partition=2')), '/v1/topics/a/stream?partition=2');
  t.match(missingIn(query('from=offset&offset=7')), /partition/);
  t.match(missingIn(query('from=offset&partition=7')), /offset/);
  t.match(missingIn(query('from=time')), /time/);
  t.equal(missingIn(query('from=offset&partition=7&offset=1')), undefined);
});

t.test('a time of the input field is that of the user', async (t) => {
  const at = 1_767_225_601_000;
  t.equal(timeOfLocal(localTimeOf(at)), at);
  t.equal(timeOfLocal(''), undefined);
  t.equal(localTimeOf(undefined), '');
});

t.test('a slow tail is shown whole, a fast one as a sample with honest rates', async (t) => {
  const sampler = new TailSampler<number>({ rowsPerWindow: 50, windowMs: 250 }, 0);
  for (let i = 0; i < 50; i += 1) sampler.add(i);
  t.equal(sampler.take(249), undefined, 'not before the end of the window');
  t.same(
    sampler.take(250),
    Array.from({ length: 50 }, (_, i) => i),
  );
  t.same(sampler.rates, { seen: 200, shown: 200 });
  for (let i = 0; i < 1250; i += 1) sampler.add(i);
  const rows = sampler.take(500) ?? [];
  t.equal(rows.length, 50);
  t.same(
    rows,
    rows.toSorted((a, b) => a - b),
    'in the order in which they came',
  );
  t.equal(new Set(rows).size, 50, 'each once');
  t.same(sampler.rates, { seen: 2600, shown: 200 });
  for (let at = 750; at < 3000; at += 250) sampler.take(at);
  t.same(sampler.rates, { seen: 0, shown: 0 }, 'what was long ago does not count');
});

t.test('each record of a fast tail has the same chance', async (t) => {
  const counts = Array.from({ length: 100 }, () => 0);
  for (let round = 0; round < 2000; round += 1) {
    const sampler = new TailSampler<number>({ rowsPerWindow: 10, windowMs: 1 }, 0);
    for (let i = 0; i < counts.length; i += 1) sampler.add(i);
    for (const i of sampler.take(1) ?? []) counts[i] = (counts[i] ?? 0) + 1;
  }
  // 200 each are expected; 13 is the standard deviation.
  t.ok(Math.min(...counts) > 100 && Math.max(...counts) < 300, counts.join(' '));
});

t.test('the newest rows go first, and the oldest are dropped', async (t) => {
  const rows = (...sizes: number[]) => sizes.map((size) => ({ size }));
  const sizes = (older: number[], arrived: number[], rowsMax: number, bytesMax: number) =>
    withNewest(rows(...older), rows(...arrived), { rowsMax, bytesMax }).map(({ size }) => size);
  t.same(sizes([2, 1], [3, 4], 3, 100), [4, 3, 2]);
  t.same(sizes([2, 1], [3, 4, 5, 6], 3, 100), [6, 5, 4]);
  t.same(sizes([2, 1], [3, 4], 10, 8), [4, 3], 'also beyond a number of bytes');
  t.same(sizes([2], [30], 10, 8), [30], 'but one');
});

t.test('NDJSON of records can be produced again', async (t) => {
  const records = [record({ key: 'a', value: { x: 'ä' } }), record({ valueBase64: 'AA==' })];
  const lines = ndjsonOf(records).trimEnd().split('\n');
  t.same(
    lines.map((line) => JSON.parse(line)),
    records,
  );
});

t.test('no cell of a CSV file is a formula', async (t) => {
  const dangerous = ['=1+1', '+cmd', '-2+3', '@SUM(A1)', '\t=1', '\r=1', ' =1', '\uff1d1'];
  for (const text of dangerous) t.match(csvCell(text), /^"?'/, JSON.stringify(text));
  for (const text of ['-5', '1.5', 'text', '{"a":1}'.replace('"a"', 'a')]) t.equal(csvCell(text), text);
  t.equal(csvCell('a "b", c'), '"a ""b"", c"');
});

t.test('a CSV file has a row for each record', async (t) => {
  const text = csvOf([
    record({ partition: 1, offset: 7, timestamp: 0, key: '=k', value: { a: 'x,y' }, headers: { h: '1' } }),
    record({ valueBase64: 'AA==' }),
  ]);
  t.equal(
    text,
    '\ufeffpartition,offset,time,key,value,value_kind,headers\r\n' +
      `1,7,1970-01-01T00:00:00.000Z,'=k,"{""a"":""x,y""}",json,"[[""h"",""1""]]"\r\n` +
      '0,1,1970-01-01T00:00:00.000Z,,AA==,bytes,\r\n',
  );
});
