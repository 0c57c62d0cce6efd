// Migrates layout 2 to 3: stored responses are found by a hash of their Idempotency-Key instead of the key itself.

import { storedResponseLimits } from '../idempotency.ts';
import { text } from '../scripts.ts';
import { sealResponse, storedResponseId } from '../sealed-response.ts';
import type { StoredData } from './stored-data.ts';

export async function toLayout3(data: StoredData): Promise<void> {
  await nameResponsesByHash(data);
}

/** In layout 2 the Redis key of a stored response contained the Idempotency-Key itself. */
async function nameResponsesByHash(data: StoredData): Promise<void> {
  const { root, response } = data.keys;
  const before = data.keys.response('').replace(/response:$/, 'idempotency:');
  for await (const key of data.coordinationKeys(`${before}*`)) {
    const idempotencyKey = key.slice(before.length);
    const id = storedResponseId(idempotencyKey);
    await data.command(root, (client) =>
      client.rename(key, response(id)).catch((error: Error) => {
        // It has expired since it was found.
        if (!/no such key/.test(error.message)) throw error;
      }),
    );
    const convert = (sealed: string) =>
      data.call('cluster/convert-response', root, [id, storedResponseLimits(0, 0), sealed]);
    const handle = text((await convert(''))[0]);
    if (handle !== '') await convert(sealResponse(idempotencyKey, handle));
  }
}
