// Migrates layout 3 to 4: an entry of the event stream may hold several transactions.
import { integer } from '../scripts.ts';
import type { StoredData } from './stored-data.ts';

/** The bytes of entries after which a call ends, as Redis does nothing else meanwhile. */
const callBytes = 1024 * 1024;

export async function toLayout4(data: StoredData): Promise<void> {
  for (const history of ['main', 'offsets']) {
    let isLeft = true;
    while (isLeft) {
      const [left] = await data.call('cluster/convert-events', data.keys.root, [history, callBytes]);
      isLeft = integer(left) === 1;
    }
  }
}
