// A consume call as a client makes it, and its response.
import type { TopicPartitions } from '../../../core/groups/assignors/assignor.ts';
import type { TopicPartition } from '../../../core/groups/group-document.ts';
import type { MemberCredential } from '../../../core/groups/member-secret.ts';
import type { Logs } from '../../../store/log/logs.ts';
import type { FetchedContent, ReadForm } from '../../log/read-forms.ts';
import type { GroupStateManager } from '../group-state-manager.ts';
import type { ConsumedRecords, MemberReader } from './member-reader.ts';

export interface ConsumeRequest {
  waitMs: number;
  maxRecords: number;
  /** The first record is returned however large it is. */
  maxBytes: number;
  /** Whether the records are returned one by one, or in their batches. */
  form: ReadForm<FetchedContent>;
  /** Whether the caller writes the records in a form of its own: then they are not encoded meanwhile (ConsumedRecords.parts()). */
  hasOwnEncoding?: boolean;
  /** `previous`: this call commits the offsets that the last call returned. */
  commit: 'manual' | 'previous';
  /** `committed`: discards the positions, commits nothing, and reads from the committed offsets. */
  from: 'position' | 'committed';
  /** The sequence of the last response that the caller received; 0 = none; undefined = `after` was not sent. */
  expectedSeq: number | undefined;
  /** The hash of the member secret that the caller sends. */
  credential: MemberCredential;
  /** Which topics the caller may read; absent: all. No records of others are returned. */
  mayRead?: ((topic: string) => boolean) | undefined;
  /** Called when the call begins to wait for records. */
  onWait?(): void;
}

export interface ConsumeResult {
  zxid: number;
  /** The sequence of this response; the caller sends it as `after` in its next call. */
  lastSeq: number;
  memberEpoch: number;
  assignment: TopicPartitions[];
  /** The next offsets of the partitions in which this call has advanced the position of the member. */
  partitions: NextOffset[];
  records: ConsumedRecords[];
  /** A newer call of the member has ended this one. */
  isSuperseded?: true;
}

export interface NextOffset extends TopicPartition {
  /** The offset to commit once all records before it are processed. */
  nextOffset: number;
}

/** The parts of the broker that serve a call. */
export interface ConsumeDependencies {
  states: GroupStateManager;
  reader: MemberReader;
  logs: Logs;
}
