// Records that no handler could process, as they are appended to another topic. Loaded when there are some.
import type { RecordBatch } from './consumer.ts';
import type { Link } from './link.ts';
import { uniqueId } from './time.ts';

/** Appends the records of a batch to `topic`; their headers say where they were, and why they are there. */
export async function sendToDeadLetter(link: Link, topic: string, batch: RecordBatch, error: unknown): Promise<void> {
  const records = batch.records.map(({ offset, timestamp: _, headers = {}, ...rest }) => {
    const about = {
      'weir-topic': batch.topic,
      'weir-partition': String(batch.partition),
      'weir-offset': String(offset),
      'weir-error': String(error),
    };
    return { ...rest, headers: { ...(Array.isArray(headers) ? Object.fromEntries(headers) : headers), ...about } };
  });
  await link.request({ op: 'produce', topic, records, idempotencyKey: uniqueId() });
}
