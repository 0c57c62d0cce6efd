// A batch to append to a log, and the conditions that it must meet (lua/logs/append.lua).
import type { Actor } from '../../core/actor.ts';
import type { IdempotencyKey } from '../idempotency.ts';
import type { ProducerSequence } from './producers.ts';

/** The records of one request for one partition. It has none in the partition that only remembers the request (docs/adr/007). */
export interface BatchToAppend {
  count: number;
  /** The lines of the records, joined by line feeds (core/records/record-fields.ts). */
  records: Buffer;
  /** The largest timestamp that the client gave to a record, ms; undefined if it gave none. */
  maxTimestamp: number | undefined;
  /** Whether the client gave every record a timestamp. */
  hasAllTimestamps: boolean;
  fence?: Fence | undefined;
  timestamps?: RequestTimestamps | undefined;
  /** How a repeat of the request is recognized. */
  deduplication?: BatchDeduplication | undefined;
}

/** What identifies a request and its repeats: an Idempotency-Key, or the id, epoch and sequence of a named producer. */
export type DeduplicationKey =
  | ({ kind: 'key' } & IdempotencyKey)
  | ({ kind: 'producer' } & ProducerSequence & Pick<Actor, 'actsAs'>);

/** How a log recognizes a repeat of the request that a batch is part of. */
export type BatchDeduplication = {
  /** The number of partitions of the topic when the records were distributed. */
  partitions: number;
} & (
  | ({ kind: 'key' } & IdempotencyKey)
  | ({ kind: 'producer' } & ProducerSequence &
      Pick<Actor, 'actsAs'> & {
        /** Whether this partition is the producer's home, which checks the sequence. */
        home: boolean;
        /** Whether the registry knows that this log has the producer (Producers.registerLog). */
        joined: boolean;
        /** The identity to which the producer belongs by the registry; set with `joined`. */
        identity?: string | undefined;
      })
);

/** A fencing token: the log refuses a token lower than the highest that it has seen under the same name. */
export interface Fence {
  name: string;
  /** 0 to 2^53-1, for example the czxid of the node that is the lock. */
  token: number;
  /** The path of a node whose czxid must be `token`; it is also the name of the fence. */
  node?: string | undefined;
  /** Why the request is refused unless it is a repeat: the node was deleted. */
  refusal?: string | undefined;
}

/** The range of the timestamps that the client gave to the records of a request, and how far they may be from now; ms. */
export interface RequestTimestamps {
  oldest: number;
  newest: number;
  /** Undefined = no limit. */
  beforeMsMax: number | undefined;
  afterMsMax: number | undefined;
}

/** Encodes the conditions of a batch as JSON for lua/logs/append.lua; '' if it has none. */
export function encodeChecks({ fence, deduplication, timestamps }: BatchToAppend): string {
  if (!fence && !deduplication && !timestamps) return '';
  const checks: Record<string, unknown> = {};
  if (timestamps) {
    const { oldest, newest, beforeMsMax: before, afterMsMax: after } = timestamps;
    Object.assign(checks, { oldest, newest, before, after });
  }
  if (fence) Object.assign(checks, { fence: fence.name, token: fence.token, lost: fence.refusal });
  if (deduplication?.kind === 'key') {
    const { key, fingerprint, partitions } = deduplication;
    Object.assign(checks, { key, fingerprint, partitions });
  } else if (deduplication) {
    const { id: producer, epoch, sequence, home, joined, partitions, identity, actsAs: actor } = deduplication;
    Object.assign(checks, { producer, epoch, sequence, home, joined, partitions, identity, actor });
  }
  return JSON.stringify(checks);
}
