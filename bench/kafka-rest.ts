// What the Kafka REST dialect costs beside /v1: `npm run bench:kafka-rest`. Side by side, in turns, on one server: requests with 100
// records of 100 bytes, and polls of 1 MiB against consume calls of a group. It compares the CPU time of the server, as wall time is that
// of a shared machine, and prints the median of the rounds: binary requests beside those with valueBase64. It takes less than 20 s.
import { parseArgs } from 'node:util';
import { keepSecret, memberHeader } from '../testbed/member-secrets.ts';
import { HttpLoad, requestBytes } from './lib/http-load.ts';
import { median, shown, table } from './lib/measure.ts';
import { WeirServer } from './lib/processes.ts';

const connections = 4;
const requestsEach = 150;
const recordsEach = 100;
const value = 'x'.repeat(100);
const pollsEach = 6;
/** The topics that are polled, by what their records have. */
const polledMembers = { texts: 'value', bytes: 'valueBase64' };
const pollBytes = 1024 * 1024;
/** What a request of the dialect may cost, as a part of the same of /v1. */
const goal = 1.3;

/** Each round reads in a group of its own. */
let groups = 0;

/** CPU time of the server for one request, µs. */
type Way = () => Promise<number>;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '7' } } });
  const rounds = Number(values.rounds);
  const server = await WeirServer.open();
  try {
    for (const name of ['produced', ...Object.keys(polledMembers)])
      await send(server, 'POST', '/v1/topics', { name, config: { 'retention.bytes': 64 * pollBytes } });
    for (const [topic, member] of Object.entries(polledMembers)) await fill(server, topic, member);
    const load = await HttpLoad.open(server.url, connections);
    const rows = [
      await compared(
        '100 records of 100 bytes, JSON',
        rounds,
        produceV1(server, load),
        produceV2(server, load, 'json'),
      ),
      await compared(
        '100 records of 100 bytes, binary',
        rounds,
        produceV1(server, load, 'valueBase64'),
        produceV2(server, load, 'binary'),
      ),
    ];
    // Bytes are the peers of bytes: a text that is polled as bytes is encoded, which no call of /v1 does.
    for (const [name, topic, format] of [
      ['JSON', 'texts', 'json'],
      ['binary', 'bytes', 'binary'],
      ['binary, of texts', 'texts', 'binary'],
    ] as const) {
      const what = `1 MiB of records of 100 bytes, ${name}`;
      rows.push(await compared(what, rounds, consume(server, topic), poll(server, topic, format)));
    }
    load.close();
    console.log(table('CPU time of the server a request', ['', '/v1, µs', 'dialect, µs', 'ratio, median'], rows));
    console.log(`\nGoal: within ${goal} of /v1.`);
  } finally {
    await server.stop();
  }
}

async function compared(name: string, rounds: number, v1: Way, dialect: Way): Promise<string[]> {
  const pairs: [number, number][] = [];
  // The first round only warms up.
  for (let round = -1; round < rounds; round += 1) {
    const isFirst = round % 2 === 0;
    const first = await (isFirst ? v1 : dialect)();
    const second = await (isFirst ? dialect : v1)();
    if (round >= 0) pairs.push(isFirst ? [first, second] : [second, first]);
  }
  return [
    name,
    shown(median(pairs.map(([one]) => one))),
    shown(median(pairs.map(([, one]) => one))),
    shown(median(pairs.map(([a, b]) => b / a))),
  ];
}

function produceV1(server: WeirServer, load: HttpLoad, member = 'value'): Way {
  const records = Array.from({ length: recordsEach }, () => ({ [member]: textOf(member) }));
  const headers = { 'content-type': 'application/json' };
  return loaded(
    server,
    load,
    requestBytes('POST', '/v1/topics/produced/records', JSON.stringify({ records }), headers),
  );
}

function produceV2(server: WeirServer, load: HttpLoad, format: string): Way {
  const records = Array.from({ length: recordsEach }, () => ({
    value: textOf(format === 'binary' ? 'valueBase64' : 'value'),
  }));
  const headers = { 'content-type': `application/vnd.kafka.${format}.v2+json` };
  return loaded(server, load, requestBytes('POST', '/topics/produced', JSON.stringify({ records }), headers));
}

function textOf(member: string): string {
  return member === 'value' ? value : Buffer.from(value).toString('base64');
}

function loaded(server: WeirServer, load: HttpLoad, request: Buffer): Way {
  return () => cpuUsEach(server, requestsEach, async () => void (await load.run(() => request, 60_000, requestsEach)));
}

async function cpuUsEach(server: WeirServer, count: number, act: () => Promise<void>): Promise<number> {
  const before = server.cpuUs ?? Number.NaN;
  await act();
  return ((server.cpuUs ?? Number.NaN) - before) / count;
}

/** Polls of a new consumer instance, from the beginning of the topic. */
function poll(server: WeirServer, topic: string, format: string): Way {
  return async () => {
    groups += 1;
    const group = `/consumers/${groups}`;
    const type = { 'content-type': 'application/vnd.kafka.v2+json' };
    await send(server, 'POST', group, { name: 'i', format, 'auto.offset.reset': 'earliest' }, type);
    const instance = `${group}/instances/i`;
    await send(server, 'POST', `${instance}/subscription`, { topics: [topic] }, type);
    const url = `${instance}/records?max_bytes=${pollBytes}&timeout=1000`;
    const accept = { accept: `application/vnd.kafka.${format}.v2+json` };
    await bytesOf(server, url, accept);
    const us = await cpuUsEach(server, pollsEach, async () => {
      for (let i = 0; i < pollsEach; i += 1) await bytesOf(server, url, accept);
    });
    await send(server, 'DELETE', instance);
    return us;
  };
}

/** Consume calls of a new member, likewise. */
function consume(server: WeirServer, topic: string): Way {
  return async () => {
    groups += 1;
    const members = `/v1/groups/${groups}/members`;
    await send(server, 'POST', members, { topics: [topic], reset: 'earliest', memberId: 'm' });
    const path = `${members}/m/records?maxBytes=${pollBytes}&maxRecords=10000&commit=previous&wait=1s`;
    const header = memberHeader(`${server.url}${path}`);
    await bytesOf(server, path, header);
    return cpuUsEach(server, pollsEach, async () => {
      for (let i = 0; i < pollsEach; i += 1) await bytesOf(server, path, header);
    });
  };
}

async function bytesOf(server: WeirServer, path: string, headers: Record<string, string>): Promise<void> {
  const response = await fetch(`${server.url}${path}`, { headers });
  const { byteLength } = await response.arrayBuffer();
  if (!response.ok || byteLength < pollBytes) throw new Error(`${path}: ${response.status}, ${byteLength} bytes`);
}

async function fill(server: WeirServer, topic: string, member: string): Promise<void> {
  const records = Array.from({ length: 1000 }, () => ({ [member]: textOf(member) }));
  const requests = Math.ceil(((pollsEach + 2) * pollBytes) / (records.length * value.length));
  for (let i = 0; i < requests; i += 1) await send(server, 'POST', `/v1/topics/${topic}/records`, { records });
}

async function send(server: WeirServer, method: string, path: string, body?: unknown, headers = {}): Promise<void> {
  const url = `${server.url}${path}`;
  const response = await fetch(url, {
    method,
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  if (path.startsWith('/v1/groups/')) keepSecret(url, JSON.parse(text));
}

await main();
