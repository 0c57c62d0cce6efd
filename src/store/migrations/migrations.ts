// Every migration of stored data from one layout to the next, in order. A release that changes the stored form raises the layout and
// adds a migration here; test/store/migrations.test.ts opens the data of the previous release.
import { toLayout3 } from './layout-3.ts';
import { toLayout4 } from './layout-4.ts';
import { toLayout5 } from './layout-5.ts';
import { toLayout6 } from './layout-6.ts';
import type { StoredData } from './stored-data.ts';

export interface Migration {
  from: number;
  to: number;
  /**
   * Migrates the data, while no broker serves. After a crash another broker begins again, so each change must be repeatable; and each
   * command must be short, as a large store has millions of keys.
   */
  run(data: StoredData): Promise<void>;
}

export const migrations: readonly Migration[] = [
  { from: 2, to: 3, run: toLayout3 },
  { from: 3, to: 4, run: toLayout4 },
  { from: 4, to: 5, run: toLayout5 },
  { from: 5, to: 6, run: toLayout6 },
];
