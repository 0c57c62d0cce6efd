// Migrates stored data to the layout of this program before the store is opened. One broker does it under a lock in Redis; the others
// wait. If it dies, the lock passes to another broker, which continues from the last layout that was completed.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { required } from '../../core/required.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { integer, text } from '../scripts.ts';
import type { Migration } from './migrations.ts';
import { StoredData } from './stored-data.ts';

/** The lock passes to another broker if its holder has not renewed it for so long, ms. */
const lockMs = 10_000;
const renewEveryMs = 2500;
const busyPollMs = 100;

interface MigrateOptions {
  prefix: string;
  /** All migrations, the oldest first; the last one leads to the layout of this program. */
  migrations: readonly Migration[];
  log: Pick<Logger, 'info' | 'warn'>;
  /** Called once if the data has an older layout, before this broker migrates it or waits for another one that does. */
  onOlderLayout?(): void;
}

/** The layout to which migrations lead. */
export function layoutOf(migrations: readonly Migration[]): number {
  return required(migrations.at(-1), 'migration').to;
}

/** Migrates older data. @throws ServiceError INVALID_CONFIG (field `layout`) if this program cannot read the layout of the data */
export async function migrate(connection: StoreConnection, rootKey: string, options: MigrateOptions): Promise<void> {
  const { migrations, prefix, log, onOlderLayout } = options;
  const holder = randomUUID();
  const claim = [layoutOf(migrations), required(migrations[0], 'migration').from, holder, lockMs];
  let reached: number;
  for (let isLogged = false; ; await sleep(busyPollMs)) {
    const [state, layout] = await connection.callWhileOpening('cluster/claim-migration', rootKey, claim);
    if (text(state) === 'ready') return;
    if (!isLogged) onOlderLayout?.();
    if (text(state) === 'claimed') {
      reached = integer(layout);
      break;
    }
    if (!isLogged) log.info('Another broker migrates the stored data to a new layout; waiting until it is done');
    isLogged = true;
  }
  const lockLost = new AbortController();
  const advance = (to: number) =>
    connection.callWhileOpening('cluster/advance-migration', rootKey, [holder, lockMs, to]);
  let isRunning = true;
  const keepLock = async () => {
    while (isRunning) {
      await sleep(renewEveryMs, undefined, { signal: lockLost.signal, ref: false });
      // `reached` is the current layout until a migration is complete, so this renews the lock and changes nothing.
      if (isRunning) await advance(reached);
    }
  };
  const renewing = keepLock().catch((error: unknown) => lockLost.abort(error));
  try {
    const data = new StoredData(connection, prefix, lockLost.signal);
    for (const { from, to, run } of migrations) {
      if (from < reached) continue;
      log.warn({ from, to }, 'Migrating the stored data to a new layout; older versions cannot open it any more');
      const startedAt = performance.now();
      await run(data);
      lockLost.signal.throwIfAborted();
      isRunning = to !== layoutOf(migrations);
      await advance(to);
      reached = to;
      log.info(
        { layout: to, ms: Math.round(performance.now() - startedAt) },
        'Migration of the stored data is complete',
      );
    }
  } finally {
    isRunning = false;
    lockLost.abort(new Error('The migration has ended.'));
    await renewing;
  }
}
