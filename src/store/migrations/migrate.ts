// Brings stored data to the layout of this program before the store is opened. One broker does it, under a lock in the store that
// passes to another one if it dies; the others wait. It may be cut off anywhere and goes on from the last layout it had reached.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { StoreConnection } from '../redis/connection.ts';
import { integer, text } from '../scripts.ts';
import type { Migration } from './migrations.ts';
import { StoredData } from './stored-data.ts';

/** The lock passes to another broker when its holder has said nothing for so long. */
const lockMs = 10_000;
const renewEveryMs = 2500;
const busyPollMs = 100;

export interface MigrateOptions {
  prefix: string;
  /** All conversions, the oldest first; the last one ends at the layout of this program. */
  migrations: readonly Migration[];
  log: Pick<Logger, 'info' | 'warn'>;
}

/** The layout that conversions lead to. */
export function layoutOf(migrations: readonly Migration[]): number {
  return migrations.at(-1)!.to;
}

/** @throws ServiceError INVALID_CONFIG (field layout) if the data is of a layout that this program cannot read */
export async function migrate(connection: StoreConnection, rootKey: string, options: MigrateOptions): Promise<void> {
  const { migrations, prefix, log } = options;
  const holder = randomUUID();
  const claim = [layoutOf(migrations), migrations[0]!.from, holder, lockMs];
  let reached: number;
  for (let isSaid = false; ; await sleep(busyPollMs)) {
    const [state, layout] = await connection.callWhileOpening('cluster/claim-migration', rootKey, claim);
    if (text(state) === 'ready') return;
    if (text(state) === 'claimed') {
      reached = integer(layout);
      break;
    }
    if (!isSaid) log.info('Another broker converts the stored data to a new layout; waiting for it');
    isSaid = true;
  }
  const lost = new AbortController();
  const advance = (to: number) =>
    connection.callWhileOpening('cluster/advance-migration', rootKey, [holder, lockMs, to]);
  let isUnderWay = true;
  const keepLock = async () => {
    while (isUnderWay) {
      await sleep(renewEveryMs, undefined, { signal: lost.signal, ref: false });
      // `reached` is that of the data until a conversion is whole, so this moves nothing.
      if (isUnderWay) await advance(reached);
    }
  };
  const renewing = keepLock().catch((error: unknown) => lost.abort(error));
  try {
    const data = new StoredData(connection, prefix, lost.signal);
    for (const { from, to, run } of migrations) {
      if (from < reached) continue;
      log.warn({ from, to }, 'Converting the stored data to a new layout; older versions cannot open it any more');
      const startedAt = performance.now();
      await run(data);
      lost.signal.throwIfAborted();
      isUnderWay = to !== layoutOf(migrations);
      await advance(to);
      reached = to;
      log.info({ layout: to, ms: Math.round(performance.now() - startedAt) }, 'The stored data has the new layout');
    }
  } finally {
    isUnderWay = false;
    lost.abort(new Error('The conversion has ended.'));
    await renewing;
  }
}
