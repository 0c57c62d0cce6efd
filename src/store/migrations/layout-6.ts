// Migrates layout 5 to 6: the results of a session's writes are a list of their own, and no longer fields of its hash.
import type { StoredData } from './stored-data.ts';

export async function toLayout6(data: StoredData): Promise<void> {
  const { root, session } = data.keys;
  const before = session('');
  for await (const key of data.coordinationKeys(`${before}*`)) {
    await data.call('cluster/convert-results', root, [key.slice(before.length)]);
  }
}
