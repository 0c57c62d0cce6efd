// The endless read of a topic, as an async iterable. It reads when its reader asks, so a slow reader slows the server down.
import { errorOfProblem, isWeirError } from './errors.ts';
import { type Http, queryOf } from './http.ts';
import { backoffMs, type Settings } from './options.ts';
import { serverSentEvents } from './sse.ts';
import { linkedController, sleep } from './time.ts';
import type { LogRecord, Problem, RecordStreamFrame } from './wire.ts';

export interface TailOptions {
  /** latest (default), earliest, a time, or a position that an earlier tail has given. */
  from?: 'latest' | 'earliest' | { timestamp: number } | { position: string };
  /** Default: all, also those that are added later. */
  partitions?: readonly number[];
  /** Ends the tail without an error. */
  signal?: AbortSignal;
}

/** A record, and where it is. `position` says from where another tail goes on behind the batch of this record. */
export interface TailRecord extends LogRecord {
  partition: number;
  position: string;
}

/** Reads the records of a topic as they are appended, without an end. It goes on by itself after the loss of a connection. */
export async function* tailRecords(
  http: Http,
  settings: Settings,
  closed: AbortSignal,
  topic: string,
  { from = 'latest', partitions, signal }: TailOptions,
): AsyncGenerator<TailRecord, void, undefined> {
  const { controller, unlink } = linkedController(signal, closed);
  const at = typeof from === 'string' ? { offset: from } : 'timestamp' in from ? from : { offset: from.position };
  const path = `/v1/topics/${encodeURIComponent(topic)}/stream${queryOf({ ...at, partition: partitions?.join(',') })}`;
  let position = '';
  let isLost = false;
  let [url = ''] = settings.urls;
  const lost = (reason: string) => {
    isLost = true;
    settings.onEvent({ type: 'disconnected', url, reason });
  };
  try {
    for (let attempt = 0; !controller.signal.aborted; attempt += 1) {
      try {
        const headers = { accept: 'text/event-stream', ...(position !== '' && { 'last-event-id': position }) };
        const response = await http.stream(path, headers, controller.signal);
        url = response.url === '' ? url : new URL(response.url).origin;
        for await (const { id, event, data } of serverSentEvents(response)) {
          if (isLost) settings.onEvent({ type: 'connected', url });
          isLost = false;
          const frame = JSON.parse(data) as RecordStreamFrame | Problem;
          if (event === 'problem' || frame.type === 'error') throw errorOfProblem(frame as Problem);
          attempt = 0;
          if ('records' in frame) {
            const { partition, records } = frame as Extract<RecordStreamFrame, { type: 'records' }>;
            for (const record of records) yield { ...record, partition, position: id };
          }
          position = id;
        }
        lost('the response has ended');
      } catch (error) {
        if (controller.signal.aborted) return;
        if (isWeirError(error) && !error.retryable) throw error;
        const { message, cause } = error as Error;
        lost(cause instanceof Error ? cause.message : message);
      }
      await sleep(backoffMs(settings, attempt), controller.signal).catch(() => {});
    }
  } finally {
    controller.abort();
    unlink();
  }
}
