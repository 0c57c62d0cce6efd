// An update of a group document: what is computed from a document, and what its commit returns.
import type { GroupDocument, GroupMember } from '../../core/groups/group-document.ts';
import type { GroupCommit, PartitionPosition, Refusal, Renewal } from '../../store/groups/groups.ts';

/** What an update makes of a document. */
export interface GroupUpdate<T> {
  /** The next document; 'delete' deletes the group; undefined leaves the document as it is. */
  document?: GroupDocument | 'delete' | undefined;
  /** What is committed together with it. */
  commit?: Omit<GroupCommit, 'document' | 'changes' | 'liveMemberCount'>;
  /** There is nothing to commit. */
  isNoop?: boolean;
  result: T;
}

export interface CommittedUpdate<T> {
  result: T;
  document: GroupDocument | undefined;
  /** 0 if nothing was committed. */
  zxid: number;
  /** Of the consume call, if the commit has one. */
  callEpoch: number;
  /** The sequence of the last response to the member of `commit.consume`. */
  lastSeq: number;
  /** The new call epochs of `commit.raiseCallEpochs`, in their order. */
  raisedCallEpochs: number[];
  positions: PartitionPosition[];
  /** Set if nothing was committed because callers are superseded or requests already have a stored response. */
  refused: Refusal | undefined;
  /** Set if nothing was committed because `commit.consume.expectedSeq` is not the sequence of the last response; the actual sequences. */
  staleSeq: { lastSeq: number; prevSeq: number } | undefined;
}

/**
 * Computes an update from a document. It may be called several times, so it must have no side effects. What it throws is final
 * if `isNewest`, which means that the document is not older than the call; else it is called again with a newer document.
 */
export type ComputeUpdate<T> = (
  document: GroupDocument | undefined,
  isNewest: boolean,
) => GroupUpdate<T> | Promise<GroupUpdate<T>>;

/** Renews the session of a member. */
export function renewalOf({ sessionId, sessionTimeoutMs }: GroupMember): Renewal {
  return { sessionId, ttlMs: sessionTimeoutMs };
}
