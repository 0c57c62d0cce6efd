// The partitions of a member on a socket, as its client knows them from the frames sent: assigned, being revoked, or released.
import type { TopicPartitions } from '../../../core/groups/assignors/assignor.ts';
import { eachPartition, type GroupMember, type TopicPartition } from '../../../core/groups/group-document.ts';
import { ServiceError } from '../../../core/service-error.ts';
import { cursorKey, type MemberCursor, partitionsOf } from '../member-cursors.ts';
import { endWait, type ReadCursor } from './stream-record-reader.ts';

export interface StreamCursor extends ReadCursor {
  /** `revoking`: a revoking frame was sent; `released`: the member has released it. */
  state: 'assigned' | 'revoking' | 'released';
}

/** A release by the member. */
export interface Released {
  /** Default: all partitions that are being revoked. */
  partitions?: TopicPartitions[] | undefined;
  /**
   * The epoch of the revoking frame; default: the newest. The release does not cover partitions that the member got later,
   * even if they have the same name, as when a topic was deleted and created again.
   */
  memberEpoch?: number | undefined;
}

/** Changes to send to the member. */
export interface PartitionsChange {
  assigned: StreamCursor[];
  revoking: StreamCursor[];
  revoked: StreamCursor[];
}

export class StreamPartitions {
  readonly #cursors = new Map<string, StreamCursor>();

  /** By cursorKey(). */
  get cursors(): ReadonlyMap<string, StreamCursor> {
    return this.#cursors;
  }

  /** Partitions that the member may still be using. */
  owned(): TopicPartitions[] {
    return partitionsOf([...this.#cursors.values()].filter(({ state }) => state !== 'released'));
  }

  /** Whether the member still has to release partitions. */
  get isUnreleased(): boolean {
    return [...this.#cursors.values()].some(({ state }) => state === 'revoking');
  }

  /** Adds a partition to those of the member. */
  add(at: MemberCursor): StreamCursor {
    const cursor = { ...at, state: 'assigned' as const, isAtEnd: false, over: new AbortController() };
    this.#cursors.set(cursorKey(at), cursor);
    return cursor;
  }

  /**
   * Takes over a new assignment.
   * @param valid the cursors that stay valid, by key
   * @param added cursors of new partitions, with their offsets
   */
  apply(
    member: GroupMember,
    valid: ReadonlyMap<string, StreamCursor>,
    added: readonly MemberCursor[],
  ): PartitionsChange {
    const pending = new Set(eachPartition(member.pendingRevocation).map(cursorKey));
    const replaced = new Set(added.map(cursorKey));
    const [revoking, revoked]: [StreamCursor[], StreamCursor[]] = [[], []];
    for (const [key, cursor] of this.#cursors) {
      if (valid.has(key)) continue;
      endWait(cursor);
      if (!pending.has(key) || replaced.has(key)) {
        this.#cursors.delete(key);
        revoked.push(cursor);
      } else if (cursor.state === 'assigned') {
        cursor.state = 'revoking';
        revoking.push(cursor);
      }
    }
    return { assigned: added.map((cursor) => this.add(cursor)), revoking, revoked };
  }

  /**
   * Marks partitions that are being revoked as released.
   * @param newest the current epoch of the member
   * @throws ServiceError BAD_REQUEST if one of the partitions is not being revoked; then nothing is released
   */
  release(released: Released, newest: number): void {
    const { partitions, memberEpoch: epoch = newest } = released;
    if (epoch > newest) {
      throw new ServiceError(
        'BAD_REQUEST',
        `The frame has memberEpoch ${epoch}, but the member is at ${newest}. Send the memberEpoch of the revoking frame.`,
      );
    }
    const named = partitions && eachPartition(partitions);
    // A release with an older epoch was sent before the member could know that its partitions are gone.
    if (named && epoch === newest) for (const at of named) this.#checkRevoking(at);
    const keys = named && new Set(named.map(cursorKey));
    for (const [key, cursor] of this.#cursors) {
      if (cursor.state !== 'revoking' || cursor.epoch > epoch) continue;
      if (!keys || keys.has(key)) cursor.state = 'released';
    }
  }

  /** Ends all waits for records. */
  endWaits(): void {
    for (const cursor of this.#cursors.values()) endWait(cursor);
  }

  #checkRevoking(at: TopicPartition): void {
    const cursor = this.#cursors.get(cursorKey(at));
    if (cursor?.state === 'revoking') return;
    const states = { assigned: 'the member has it', released: 'it was released' };
    const why = cursor ? states[cursor.state] : 'the member does not have it';
    throw new ServiceError(
      'BAD_REQUEST',
      `Partition ${at.partition} of topic '${at.topic}' is not being revoked: ${why}. Release only partitions of a revoking frame.`,
      { topic: at.topic, partition: at.partition },
    );
  }
}
