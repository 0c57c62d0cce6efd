// The slowest bodies of a given size: they keep the parser, the validator or the code behind them busy as long as possible.

/** A body of `bytes` bytes: a beginning, a repeated pattern, and an end. */
function filled(bytes: number, begin: string, pattern: string, end: string): string {
  const count = Math.max(1, Math.floor((bytes - begin.length - end.length) / pattern.length));
  return begin + pattern.repeat(count) + end;
}

function numbered(bytes: number, begin: string, item: (i: number) => string, end: string, countMax = Infinity): string {
  const parts: string[] = [];
  let size = begin.length + end.length;
  for (let i = 0; i < countMax; i += 1) {
    const part = item(i);
    size += part.length + 1;
    if (size > bytes) break;
    parts.push(part);
  }
  return begin + parts.join(',') + end;
}

/** JSON that every route refuses, but only after parsing it. @param field a field that the route accepts */
export function hostileJson(bytes: number, field: string): [name: string, body: string][] {
  const half = Math.floor((bytes - 20) / 2);
  const key = JSON.stringify(field);
  return [
    ['open lists', '['.repeat(bytes)],
    ['lists in lists', '['.repeat(half) + ']'.repeat(half)],
    ['objects in objects', filled(bytes, `{${key}:`, '{"a":', '1')],
    ['many empty lists', filled(bytes, `{${key}:[`, '[],', '[]]}')],
    ['lists of lists', filled(bytes, `{${key}:[`, `[${'1,'.repeat(9_000)}1],`, '[]]}')],
    ['many empty objects', filled(bytes, `{${key}:[`, '{},', '{}]}')],
    ['many unknown fields', numbered(bytes, '{', (i) => `"k${i}":1`, '}')],
    ['objects of many fields', numbered(bytes, `{${key}:[`, () => manyFields, ']}')],
    ['one field many times', filled(bytes, '{', `${key}:1,`, `${key}:1}`)],
    ['a string of escapes', filled(bytes, `{${key}:"`, '\\n', '"}')],
    ['a string of surrogates', filled(bytes, `{${key}:"`, '\\ud83d\\ude00', '"}')],
    ['many strings of escapes', filled(bytes, `{${key}:[`, '"\\n",', '""]}')],
    ['a long string', filled(bytes, `{${key}:"`, 'x', '"}')],
    ['a long number', filled(bytes, `{${key}:`, '1', '}')],
    ['a long fraction', filled(bytes, `{${key}:0.`, '1', 'e-300}')],
    ['many numbers', filled(bytes, `{${key}:[`, '1e300,', '1]}')],
    ['space', filled(bytes, `{${key}:`, ' ', '1}')],
    ['lists, and then no JSON', filled(bytes, `{${key}:[`, '[],', '}')],
  ];
}

const manyFields = `{${Array.from({ length: 990 }, (_, i) => `"k${i}":1`).join(',')}}`;

/** Transactions at the limits and below them. */
export function multis(bytes: number): [name: string, body: string][] {
  const of = (item: (i: number) => string, count = 10_000) => numbered(bytes, '{"ops":[', item, ']}', count);
  const base64 = (size: number) => Buffer.alloc(size, 'x').toString('base64');
  return [
    ['10,000 checks', of(() => '{"op":"check","path":"/"}')],
    ['10,000 checks of paths', of((i) => `{"op":"check","path":"/${'p'.repeat(400)}${i}","exists":false}`)],
    ['10,000 creates', of((i) => `{"op":"create","path":"/bench-${i}","data":"","mode":"persistent"}`)],
    ['10,000 creates, the last one bad', of((i) => `{"op":"create","path":"/b${i}"${i === 9_999 ? ',"x":1' : ''}}`)],
    ['10,000 wrong operations', of(() => '{"op":"create","path":1,"data":1,"mode":1,"ttl":"x","session":1}')],
    ['10,000 unknown operations', of(() => '{"a":1,"b":2,"c":3,"d":4,"e":5}')],
    ['1,000 of 3 KiB as base64', of((i) => `{"op":"create","path":"/c${i}","dataBase64":"${base64(3000)}"}`, 1000)],
    ['5 MiB as base64', of((i) => `{"op":"create","path":"/d${i}","dataBase64":"${base64(1_000_000)}"}`, 5)],
    ['5 MiB as escapes', of((i) => `{"op":"create","path":"/e${i}","data":"${'\\n'.repeat(500_000)}"}`, 5)],
  ];
}

/** Bodies of the group routes at their limits. */
export function commits(bytes: number): [name: string, body: string][] {
  const offsets = (item: (i: number) => string) => numbered(bytes, '{"offsets":[', item, ']}', 10_000);
  return [
    ['many offsets', offsets((i) => `{"topic":"stalls","partition":${i % 100},"offset":0}`)],
    ['many topics', offsets((i) => `{"topic":"none-${i}","partition":0,"offset":0}`)],
    ['10,000 wrong offsets', offsets(() => '{"topic":1,"partition":-1,"offset":-1,"metadata":1,"x":1}')],
    [
      'metadata',
      offsets((i) => `{"topic":"stalls","partition":${i % 100},"offset":0,"metadata":"${'m'.repeat(4000)}"}`),
    ],
  ];
}

export function joins(bytes: number): [name: string, body: string][] {
  const topics = (item: (i: number) => string) => numbered(bytes, '{"topics":[', item, ']}', 10_000);
  return [
    ['10,000 topics', topics((i) => `"none-${i}"`)],
    ['long names', topics((i) => `"${'t'.repeat(240)}${i}"`)],
    ['a pattern', JSON.stringify({ pattern: `(${'a*'.repeat(100)})*b` })],
  ];
}

export function heartbeats(bytes: number): [name: string, body: string][] {
  const owned = (item: (i: number) => string) => numbered(bytes, '{"memberEpoch":1,"owned":[', item, ']}', 10_000);
  return [
    ['10,000 topics', owned((i) => `{"topic":"none-${i}","partitions":[0]}`)],
    [
      'many partitions',
      owned((i) => `{"topic":"t${i}","partitions":[${Array.from({ length: 10_000 }, (_, p) => p)}]}`),
    ],
  ];
}

/** Records in a JSON body. */
export function records(bytes: number): [name: string, body: string][] {
  const value = (json: string) => `{"records":[{"value":${json}}]}`;
  const list = (item: (i: number) => string, count = 100_000) => numbered(bytes, '{"records":[', item, ']}', count);
  const inside = bytes - 40;
  const headers = Array.from({ length: 990 }, (_, i) => `"h${i}":"v"`).join(',');
  return [
    ...hostileJson(bytes, 'records'),
    ['100,000 records of nothing', list(() => '{}')],
    ['100,000 values', list((i) => `{"value":${i}}`)],
    ['100,001 values', list((i) => `{"value":${i}}`, 100_001)],
    ['100,000 keys', list((i) => `{"key":"k${i}","value":${i}}`)],
    ['100,000 with headers', list((i) => `{"key":"k${i}","value":1,"headers":{"a":"1","b":{"base64":"aGk="}}}`)],
    ['100,000 with timestamps', list((i) => `{"key":"k${i}","timestamp":1700000000000}`)],
    ['100,000 keys with escapes', list((i) => `{"key":"\\u00e9${i}","value":1}`)],
    ['1,000 headers each', list(() => `{"value":1,"headers":{${headers}}}`)],
    ['many unknown fields', list(() => manyFields)],
    ['a value of empty lists', value(filled(inside, '[', '[],', '[]]'))],
    ['a value of lists 999 deep', value(filled(inside, '[', `${'['.repeat(900)}${']'.repeat(900)},`, '[]]'))],
    ['a value of fields', value(numbered(inside, '{', (i) => `"k${i}":1`, '}'))],
    ['a value of strings with escapes', value(filled(inside, '[', '"\\n",', '""]'))],
    ['a value of escapes', value(filled(inside, '"', '\\n', '"'))],
    ['a value of numbers', value(filled(inside, '[', '1.5e3,', '1]'))],
    ['a value of line feeds', value(filled(inside, '[', '\n', '1]'))],
    ['a value and 3 more', `{"records":[${Array(4).fill(`{"value":${filled(inside / 4 - 20, '[', '[],', '[]]')}}`)}]}`],
    [
      'a value as base64',
      `{"records":[{"valueBase64":"${Buffer.alloc(Math.floor((inside * 3) / 4 / 3) * 3 - 3).toString('base64')}"}]}`,
    ],
    ['a long key', `{"records":[{"key":"${'k'.repeat(inside)}"}]}`],
    ['a long key with escapes', `{"records":[{"key":"${filled(inside, '', '\\n', '')}"}]}`],
    ['headers, and no more', `{"records":[{"headers":${filled(inside, '{"a":[', '[],', '[]]}')}}]}`],
    ['values, and then no JSON', filled(bytes, '{"records":[{"value":[', '[],', '}')],
  ];
}

/** One record with a text value, once as large as the body may be and once as large as a record may be. */
export function texts(bytes: number, recordBytes: number): [name: string, body: string][] {
  return [bytes, recordBytes].flatMap((size): [string, string][] => [
    [`text, ${size} bytes`, 'é'.repeat(size / 2)],
    [`controls, ${size} bytes`, '\u0001'.repeat(size)],
    [`controls that fit, ${size} bytes`, '\u0001'.repeat(size / 6 - 10)],
  ]);
}

/** Records in an NDJSON body. */
export function lines(bytes: number): [name: string, body: string][] {
  return [
    ['lines of nothing', filled(bytes, '', '{}\n', '')],
    ['blank lines', filled(bytes, '', '\n', '{"value":1}')],
    ['lines of space', filled(bytes, '', `${' '.repeat(60_000)}\n`, '{"value":1}')],
    ['small values', filled(bytes, '', '{"value":1}\n', '')],
    ['small keys', filled(bytes, '', '{"key":"k","value":1}\n', '')],
    ['headers', filled(bytes, '', '{"value":1,"headers":{"a":"1","b":{"base64":"aGk="}}}\n', '')],
    ['long lines of empty lists', filled(bytes, '', `{"value":[${'[],'.repeat(300_000)}[]]}\n`, '')],
    ['a line without end', filled(bytes, '{"value":[', '[],', '')],
    ['lines that go on', filled(bytes, '', '{"value":[\n', '')],
  ];
}
