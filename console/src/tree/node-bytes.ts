// The data of events as bytes.
import type { EventHistory } from '@weirkeeper/client';

type HistoryEvent = EventHistory['transactions'][number]['events'][number];

/** The data that an event says was written; undefined if it says none. */
export function toBytes({ data, encoding }: Pick<HistoryEvent, 'data' | 'encoding'>): Uint8Array | undefined {
  if (data === undefined) return undefined;
  if (encoding === 'base64') return Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
  return new TextEncoder().encode(data);
}
