// The notices of appends: each append publishes one to a channel of Redis, which all brokers subscribe to.
import type { Logger } from 'pino';
import type { StoreConnection } from '../redis/connection.ts';
import type { LogId } from './producers.ts';

/** An append by any broker. */
export interface AppendNotice extends LogId {
  endOffset: number;
}

interface Subscription {
  connection: StoreConnection;
  channel: string;
  log: Logger;
  onAppend(notice: AppendNotice): void;
  /** Called when notices may have been lost, as the connection was. */
  onGap(): void;
  /** Ends the subscription. */
  signal: AbortSignal;
}

/** Subscribes to the appends of all brokers, on a connection of its own. */
export function subscribeToAppends({ connection, channel, log, onAppend, onGap, signal }: Subscription): void {
  const client = connection.createDedicatedClient();
  client.on('message', (_channel: string, message: string) => {
    const [topicId = '', partition, endOffset] = message.split(':');
    onAppend({ topicId, partition: Number(partition), endOffset: Number(endOffset) });
  });
  client.on('ready', () => {
    client.subscribe(channel).then(onGap, (error: unknown) => {
      // The connection was lost again. The client reconnects, and emits `ready` again.
      if (signal.aborted) return;
      log.debug({ err: error }, 'Subscribing to appends failed; retrying. Readers poll for new records until then');
    });
  });
  // If the first attempt fails, the client reconnects as after any loss.
  client.connect().catch(() => undefined);
  signal.addEventListener('abort', () => client.disconnect(), { once: true });
}
