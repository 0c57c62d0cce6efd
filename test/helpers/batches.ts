// Reads responses of the type application/vnd.weir.batches.
import { gunzipSync } from 'node:zlib';

export const asBatches = { accept: 'application/vnd.weir.batches' };

export interface ReadBatch {
  /** The line that describes the batch. */
  head: {
    baseOffset: number;
    count: number;
    timestamp: number;
    bytes: number;
    encoding?: string;
    [more: string]: unknown;
  };
  /** Its records, with offset and timestamp. */
  records: { offset: number; timestamp: number; [field: string]: unknown }[];
}

export interface ReadBatches {
  /** The first line, if it describes the response. */
  response: any;
  batches: ReadBatch[];
  records: ReadBatch['records'];
}

export function readBatches(body: Buffer): ReadBatches {
  const batches: ReadBatch[] = [];
  let response: unknown;
  for (let at = 0; at < body.length; ) {
    const end = body.indexOf('\n', at);
    const head = JSON.parse(body.toString('utf8', at, end));
    at = end + 1;
    if (head.baseOffset === undefined) {
      if (response !== undefined || batches.length > 0)
        throw new Error('A description of the response is not the first line');
      response = head;
      continue;
    }
    const stored = body.subarray(at, at + head.bytes);
    if (stored.length < head.bytes || body[at + head.bytes] !== 0x0a) throw new Error('No line feed ends the batch');
    at += head.bytes + 1;
    const lines = (head.encoding === 'gzip' ? gunzipSync(stored) : stored).toString().split('\n');
    if (lines.length !== head.count) throw new Error(`A batch of ${head.count} records has ${lines.length} lines`);
    const records = lines.flatMap((line, i) =>
      line === '' ? [] : [{ offset: head.baseOffset + i, timestamp: head.timestamp, ...JSON.parse(line) }],
    );
    batches.push({ head, records });
  }
  return { response, batches, records: batches.flatMap(({ records }) => records) };
}

/** Fetches or consumes batches. @param encoding the Accept-Encoding */
export async function fetchBatches(
  url: string,
  { encoding = 'identity', headers = {} }: { encoding?: string; headers?: Record<string, string> } = {},
): Promise<ReadBatches & { status: number; headers: Headers; body: Buffer }> {
  const response = await fetch(url, { headers: { ...asBatches, 'accept-encoding': encoding, ...headers } });
  const body = Buffer.from(await response.arrayBuffer());
  const read = response.ok ? readBatches(body) : { response: JSON.parse(body.toString()), batches: [], records: [] };
  return { ...read, status: response.status, headers: response.headers, body };
}
