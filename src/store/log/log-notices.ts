// Notices of the changes of logs, which the scripts publish: each append, and each removal of records.
import type { Logger } from 'pino';
import { appendsChannel, removalsChannel } from '../keys.ts';
import type { StoreConnection } from '../redis/connection.ts';
import type { LogSummary } from './log-summary.ts';
import type { LogId } from './producers.ts';

/** What a change of a log by any broker has shown. */
export interface LogNotice extends LogId {
  endOffset: number;
  /** Undefined if a broker of an older version has made the change. */
  summary: LogSummary | undefined;
}

export interface LogNoticeListener {
  onAppend(notice: LogNotice): void;
  /** Records were removed. */
  onRemoval(notice: LogNotice): void;
  /** Notices may have been lost, as the connection was. */
  onGap(): void;
}

/** Passes all notices to `listener`, from a connection of their own, until `signal` is aborted. */
export function subscribeToLogs(
  connection: StoreConnection,
  prefix: string,
  listener: LogNoticeListener,
  log: Logger,
  signal: AbortSignal,
): void {
  const [appends, removals] = [appendsChannel(prefix), removalsChannel(prefix)];
  const client = connection.createDedicatedClient();
  client.on('message', (channel: string, message: string) => {
    if (channel === appends) listener.onAppend(decodeNotice(message));
    else listener.onRemoval(decodeNotice(message));
  });
  client.on('ready', () => {
    client.subscribe(appends, removals).then(
      () => listener.onGap(),
      (error: unknown) => {
        // The connection was lost again. The client reconnects, and emits `ready` again.
        if (signal.aborted) return;
        log.debug(
          { err: error },
          'Subscribing to changes of logs failed; retrying. Readers poll for new records until then',
        );
      },
    );
  });
  // If the first attempt fails, the client reconnects as after any loss.
  client.connect().catch(() => undefined);
  signal.addEventListener('abort', () => client.disconnect(), { once: true });
}

function decodeNotice(message: string): LogNotice {
  const [topicId = '', partition, end, start, recordsEnd, bytes] = message.split(':');
  const endOffset = Number(end);
  const summary = { logStartOffset: Number(start), endOffset, recordsEnd: Number(recordsEnd), bytes: Number(bytes) };
  return { topicId, partition: Number(partition), endOffset, summary: bytes === undefined ? undefined : summary };
}
