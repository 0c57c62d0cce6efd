// Measures records per second that members of one group consume, compared with fetches of the same partitions by as many readers.
import { memberHeader } from '../../testbed/member-secrets.ts';
import { countOf, type GroupSite, pause } from '../lib/group-site.ts';
import { median, percent, shown, table } from '../lib/measure.ts';

const partitions = 8;
const topic = 'consume';
const value = 'x'.repeat(100);

/** Reads all partitions with `readers` at once. @returns the number of records read */
type Way = (readers: number, limits: string) => Promise<number>;

export async function measureConsume(site: GroupSite): Promise<string[]> {
  const total = (site.scale.quick ? 10_000 : 50_000) * partitions;
  await site.createTopic(topic, partitions);
  const records = Array.from({ length: 1000 }, () => ({ value }));
  for (let i = 0; i < total / 1000; i += 1) {
    await site.ask('POST', `/v1/topics/${topic}/partitions/${i % partitions}/records`, { records });
  }
  let groups = 0;
  const ways: Record<string, Way> = {
    fetch: (readers, limits) => eachReader(readers, (reader) => fetchAll(site, ownOf(reader, readers), limits)),
    consume: (readers, limits) => {
      groups += 1;
      return consumeAll(site, `consume-${groups}`, readers, limits, total);
    },
    socket: (readers) => {
      groups += 1;
      return streamAll(site, `consume-${groups}`, readers, total);
    },
  };
  const rows: string[][] = [];
  for (const readers of [1, 4]) {
    for (const [name, limits] of [
      ['1 MiB a call', 'maxRecords=10000&maxBytes=1048576'],
      ['500 records a call', 'maxRecords=500&maxBytes=1048576'],
    ] as const) {
      const rates: Record<string, number[]> = {};
      for (let round = 0; round < site.scale.rounds; round += 1) {
        for (const [way, run] of Object.entries(ways)) {
          const startedAt = performance.now();
          const count = await run(readers, limits);
          if (count !== total) throw new Error(`${way} gave ${count} records of ${total}`);
          rates[way] ??= [];
          rates[way].push((total * 1000) / (performance.now() - startedAt));
        }
      }
      const [fetched, consumed, streamed] = [rates.fetch, rates.consume, rates.socket].map((list) => median(list!));
      rows.push([
        `${readers} × ${name}`,
        shown(fetched),
        shown(consumed),
        percent(consumed! / fetched!),
        shown(streamed),
        percent(streamed! / fetched!),
      ]);
    }
  }
  const head = ['readers', 'fetch, records/s', 'consume', 'of fetch', 'socket', 'of fetch'];
  return [table(`Records of 100 bytes, ${partitions} partitions, commit=previous`, head, rows)];
}

/** The partitions of one reader of several. */
function ownOf(reader: number, readers: number): number[] {
  return Array.from({ length: partitions }, (_, p) => p).filter((p) => p % readers === reader);
}

async function eachReader(readers: number, read: (reader: number) => Promise<number>): Promise<number> {
  const counts = await Promise.all(Array.from({ length: readers }, (_, reader) => read(reader)));
  return counts.reduce((sum, count) => sum + count, 0);
}

async function bytesOf(url: string): Promise<Buffer> {
  const response = await fetch(url, { headers: memberHeader(url) });
  const bytes = Buffer.from(await response.arrayBuffer());
  if (!response.ok) throw new Error(`${url}: ${bytes}`);
  return bytes;
}

/** Reads some partitions to their ends, one call after the other. */
async function fetchAll(site: GroupSite, own: number[], limits: string): Promise<number> {
  const offsets = new Map(own.map((partition) => [partition, 0]));
  let count = 0;
  while (offsets.size > 0) {
    for (const [partition, offset] of [...offsets]) {
      const url = `${site.server.url}/v1/topics/${topic}/partitions/${partition}/records?offset=${offset}&${limits}`;
      const bytes = await bytesOf(url);
      const tail = bytes.toString('latin1', bytes.length - 200);
      const next = Number(/"nextOffset":(\d+)/.exec(tail)![1]);
      if (next === offset) offsets.delete(partition);
      else offsets.set(partition, next);
      count += countOf(bytes);
    }
  }
  return count;
}

const recordMark = Buffer.from('{"topic":"consume","partition":');

async function consumeAll(
  site: GroupSite,
  group: string,
  readers: number,
  limits: string,
  total: number,
): Promise<number> {
  const members = `/v1/groups/${group}/members`;
  const join = { topics: [topic], reset: 'earliest', assignor: 'range' };
  for (let i = 0; i < readers; i += 1) await site.ask('POST', members, { ...join, memberId: `m${i}` });
  for (let i = 0; i < 2 * readers; i += 1) {
    const memberId = `m${i % readers}`;
    await site.ask('POST', `${members}/${memberId}/heartbeat`, { memberEpoch: 0, owned: [] });
  }
  let count = 0;
  return eachReader(readers, async (reader) => {
    let own = 0;
    while (count < total) {
      const url = `${site.server.url}${members}/m${reader}/records?wait=20ms&commit=previous&${limits}`;
      const bytes = await bytesOf(url);
      let given = 0;
      for (
        let at = bytes.indexOf(recordMark, bytes.indexOf('"records":['));
        at >= 0;
        at = bytes.indexOf(recordMark, at + recordMark.length)
      )
        given += 1;
      count += given;
      own += given;
    }
    return own;
  });
}

async function streamAll(site: GroupSite, group: string, readers: number, total: number): Promise<number> {
  const joining = Array.from({ length: readers }, (_, i) =>
    site.join(group, topic, `&memberId=m${i}&assignor=range`, 1_000_000_000),
  );
  const members = await Promise.all(joining);
  const count = () => members.reduce((sum, { records }) => sum + records(), 0);
  while (count() < total) await pause(2);
  for (const { ws } of members) ws.close(1000);
  return Math.min(count(), total);
}
