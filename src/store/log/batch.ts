// What a log is asked to append, and what each batch is judged by before it is (lua/logs/append.lua).
import type { ProducerSequence } from './producers.ts';

/** The records of one request for one partition; none at the home of a request that appends elsewhere. */
export interface BatchToAppend {
  count: number;
  /** Their lines, joined by line feeds (core/records/record-fields.ts). */
  records: Buffer;
  /** The largest timestamp that a record has of its own, ms. */
  maxTimestamp: number | undefined;
  /** Whether every record has one. */
  hasAllTimestamps: boolean;
  fence?: Fence | undefined;
  timestamps?: RequestTimestamps | undefined;
  /** What a repeat of the request is known by. */
  deduplication?: BatchDeduplication | undefined;
}

/** A request as a log knows it again. */
export type BatchDeduplication = {
  /** The number of partitions by which the records of the request are spread. */
  partitions: number;
} & (
  | { kind: 'key'; key: string; fingerprint: string }
  | {
      kind: 'producer';
      stamp: ProducerSequence;
      /** Whether this partition is the producer's home, which counts its sequence. */
      home: boolean;
      /** Whether the registry has noted this log (store/log/producers.ts: join). */
      joined: boolean;
    }
);

/** A fencing token: the log refuses one that is lower than one it has seen under the same name. */
export interface Fence {
  name: string;
  /** 0 to 2^53-1; a node's czxid is a good one. */
  token: number;
  /** The node of which `token` must be the czxid; the fence has its path as its name. */
  node?: string | undefined;
  /** Why the broker refuses the request, unless it is a repeat: the node is not there any more. */
  refusal?: string | undefined;
}

/** The timestamps that the records of a request have of their own, and how far they may be from now; in ms. */
export interface RequestTimestamps {
  oldest: number;
  newest: number;
  /** Undefined = any. */
  beforeMsMax: number | undefined;
  afterMsMax: number | undefined;
}

/** What the script checks a batch by, as JSON, or '' (lua/logs/append.lua). */
export function encodeChecks({ fence, deduplication: identity, timestamps: times }: BatchToAppend): string {
  if (!fence && !identity && !times) return '';
  const guards: Record<string, unknown> = {};
  if (times) {
    const { oldest, newest, beforeMsMax: before, afterMsMax: after } = times;
    Object.assign(guards, { oldest, newest, before, after });
  }
  if (fence) Object.assign(guards, { fence: fence.name, token: fence.token, lost: fence.refusal });
  if (identity?.kind === 'key') {
    const { key, fingerprint, partitions } = identity;
    Object.assign(guards, { key, fingerprint, partitions });
  } else if (identity) {
    const { stamp, home, joined, partitions } = identity;
    Object.assign(guards, {
      producer: stamp.id,
      epoch: stamp.epoch,
      sequence: stamp.sequence,
      home,
      joined,
      partitions,
    });
  }
  return JSON.stringify(guards);
}
