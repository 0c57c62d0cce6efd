// From layout 2 to 3.

import { storedResponseLimits } from '../idempotency.ts';
import { text } from '../scripts.ts';
import { sealResponse, storedResponseId } from '../sealed-response.ts';
import type { StoredData } from './stored-data.ts';

export async function toLayout3(data: StoredData): Promise<void> {
  await nameResponsesByHash(data);
}

/** Records of requests with an Idempotency-Key had the key itself in their name. */
async function nameResponsesByHash(data: StoredData): Promise<void> {
  const { root, response } = data.keys;
  const before = data.keys.response('').replace(/response:$/, 'idempotency:');
  for await (const key of data.coordinationKeys(`${before}*`)) {
    const given = key.slice(before.length);
    const id = storedResponseId(given);
    await data.command(root, (client) =>
      client.rename(key, response(id)).catch((error: Error) => {
        // It has expired meanwhile.
        if (!/no such key/.test(error.message)) throw error;
      }),
    );
    const convert = (sealed: string) =>
      data.call('cluster/convert-response', root, [id, storedResponseLimits(0, 0), sealed]);
    const handle = text((await convert(''))[0]);
    if (handle !== '') await convert(sealResponse(given, handle));
  }
}
