// The largest calls of the scripts of logs and producers.
import { unrestricted } from '../../src/core/actor.ts';
import type { BatchToAppend } from '../../src/store/log/logs.ts';
import { range, type ScriptCase, type ScriptSite } from './site.ts';

const MiB = 1024 * 1024;

export function logCases({ store }: ScriptSite): ScriptCase[] {
  const { logs, logMaintenance, producers } = store;
  let next = 0;
  const topic = () => `bench${next}`;
  const opened = async () => {
    next += 1;
    await logs.create(topic(), 0);
  };
  const batch = (count: number, bytes: number): BatchToAppend => {
    const line = `{"v":"${'x'.repeat(Math.max(1, Math.floor(bytes / count) - 9))}"}\n`;
    return {
      count,
      records: Buffer.from(line.repeat(count)),
      maxTimestamp: undefined,
      hasAllTimestamps: false,
    };
  };
  const append = (batches: BatchToAppend[]) => logs.append(topic(), 0, batches);
  const filled = async (calls: number, batches: number, count: number, bytes: number) => {
    await opened();
    const one = range(batches, () => batch(count, bytes));
    for (let i = 0; i < calls; i++) await append(one);
  };
  return [
    {
      what: 'an append of 256 batches, 4 MiB',
      scripts: ['logs/append'],
      prepare: opened,
      run: () => append(range(256, () => batch(100, 16_000))),
    },
    {
      what: 'an append of one batch of 16 MiB',
      scripts: ['logs/append'],
      prepare: opened,
      run: () => append([batch(16, 16 * MiB)]),
    },
    {
      what: 'a read of 1 MiB in batches of one record of 100 bytes',
      scripts: ['logs/read'],
      prepare: () => filled(80, 256, 1, 100),
      run: () => logs.read(topic(), 0, 'earliest', { maxRecords: 1_000_000, maxBytes: MiB }),
    },
    {
      what: 'a read of 16 MiB in batches of 16 KiB',
      scripts: ['logs/read'],
      prepare: () => filled(5, 256, 100, 16_000),
      run: () => logs.read(topic(), 0, 'earliest', { maxRecords: 1_000_000, maxBytes: 16 * MiB }),
    },
    {
      what: 'retention of 100 batches of 16 KiB',
      scripts: ['logs/retain'],
      prepare: () => filled(4, 256, 100, 16_000),
      run: () => logMaintenance.retain(topic(), 0, 0, { retentionMs: -1, retentionBytes: 0 }),
    },
    {
      what: 'a scan of 1 MiB for compaction, in batches of one record',
      scripts: ['logs/scan'],
      prepare: () => filled(80, 256, 1, 100),
      run: () => logMaintenance.scan(topic(), 0, 0, 1_000_000, MiB),
    },
    {
      what: 'a step of compaction: 1 MiB of single records in batches of 300',
      scripts: ['logs/compact'],
      prepare: () => filled(40, 256, 1, 100),
      run: async () => {
        const scan = await logMaintenance.scan(topic(), 0, 0, 10_000, MiB);
        const size = 300;
        const added = range(Math.floor(scan.batches.length / size), (i) => {
          const some = scan.batches.slice(i * size, (i + 1) * size);
          const records = Buffer.concat(some.map((found) => found.records));
          const head = {
            baseOffset: some[0]!.baseOffset,
            count: some.length,
            timestamp: 1,
            maxTimestamp: 1,
            tombstonesSince: 0,
          };
          return { ...head, records };
        });
        const cleaned = added.at(-1)!.baseOffset + added.at(-1)!.count;
        const { runId, generation } = scan;
        await logMaintenance.compact(topic(), 0, 0, {
          runId,
          generation,
          cleaned,
          tombstonesSince: undefined,
          removed: [],
          added,
        });
      },
    },
    {
      what: 'deletion of the records before the end of 1,280 batches',
      scripts: ['logs/delete-records'],
      prepare: () => filled(5, 256, 100, 16_000),
      run: () => logs.deleteRecords(topic(), 0, 'latest'),
    },
    {
      what: 'a search by time in 20,000 batches',
      scripts: ['logs/seek'],
      prepare: () => filled(80, 256, 1, 100),
      run: () => logs.findByTimestamp(topic(), 0, 0, Date.now() + 1e9),
    },
    {
      what: 'a producer is registered, and expired ones are searched among 10,000',
      scripts: ['producers/register', 'producers/claim-due'],
      prepare: async () => {
        if ((await producers.claimDue(1e12, 1)).total < 10_000) {
          for (let i = 0; i < 10_000; i += 500) {
            await Promise.all(range(500, (j) => producers.register(`p${i + j}`, unrestricted)));
          }
        }
      },
      run: async () => {
        await producers.register('one more', unrestricted);
        await producers.claimDue(1e12, 1000);
      },
    },
    {
      what: 'a log of 20,000 batches is removed',
      scripts: ['logs/remove'],
      prepare: () => filled(80, 256, 1, 100),
      run: () => logs.remove(topic(), 0),
    },
  ];
}
