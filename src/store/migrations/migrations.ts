// Every conversion of stored data from one layout to the next, in order. A release that changes the stored form raises the layout
// and adds one here; test/store/migrations.test.ts opens the data of the release before.
import { toLayout3 } from './layout-3.ts';
import type { StoredData } from './stored-data.ts';

export interface Migration {
  from: number;
  to: number;
  /**
   * Converts the data. No broker serves meanwhile. A crash may end it anywhere and another broker then begins it anew, so
   * each change must be one that may be repeated; and each command must be short, as a large store has millions of keys.
   */
  run(data: StoredData): Promise<void>;
}

export const migrations: readonly Migration[] = [{ from: 2, to: 3, run: toLayout3 }];
