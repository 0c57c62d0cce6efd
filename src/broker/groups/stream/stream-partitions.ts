// What a member on a socket was told that it has: which partitions it uses, which it was asked to let go of, and which it has.
import type { TopicPartitions } from '../../../core/groups/assignors/assignor.ts';
import { eachPartition, type GroupMember, type TopicPartition } from '../../../core/groups/group-document.ts';
import { ServiceError } from '../../../core/service-error.ts';
import { cursorKey, type MemberCursor, partitionsOf } from '../member-cursors.ts';
import { endWait, type ReadCursor } from './stream-record-reader.ts';

export interface StreamCursor extends ReadCursor {
  /** `revoking`: the member was asked to let go of it; `released`: it has said that it did. */
  state: 'assigned' | 'revoking' | 'released';
}

/** What a member has let go of. */
export interface Released {
  /** All that are being revoked, by default. */
  partitions?: TopicPartitions[] | undefined;
  /**
   * What the revoking frame said; default: the newest. What the member was given later is not meant, though it may have the
   * same name and be revoked again, as its topic was made anew.
   */
  memberEpoch?: number | undefined;
}

/** What is to be told to the member. */
export interface PartitionsChange {
  assigned: StreamCursor[];
  revoking: StreamCursor[];
  revoked: StreamCursor[];
}

export class StreamPartitions {
  readonly #cursors = new Map<string, StreamCursor>();

  /** By key (cursorKey). */
  get cursors(): ReadonlyMap<string, StreamCursor> {
    return this.#cursors;
  }

  /** What the member may still be using. */
  owned(): TopicPartitions[] {
    return partitionsOf([...this.#cursors.values()].filter(({ state }) => state !== 'released'));
  }

  /** Whether the member was asked to let go of something, and has not said that it did. */
  get isUnreleased(): boolean {
    return [...this.#cursors.values()].some(({ state }) => state === 'revoking');
  }

  /** The member has this, too, from now on. */
  give(at: MemberCursor): StreamCursor {
    const cursor = { ...at, state: 'assigned' as const, isAtEnd: false, over: new AbortController() };
    this.#cursors.set(cursorKey(at), cursor);
    return cursor;
  }

  /**
   * Takes over what the group has decided.
   * @param kept the cursors that stay good, by key
   * @param given those that are new, placed
   */
  take(member: GroupMember, kept: ReadonlyMap<string, StreamCursor>, given: readonly MemberCursor[]): PartitionsChange {
    const pending = new Set(eachPartition(member.pendingRevocation).map(cursorKey));
    const replaced = new Set(given.map(cursorKey));
    const [revoking, revoked]: [StreamCursor[], StreamCursor[]] = [[], []];
    for (const [key, cursor] of this.#cursors) {
      if (kept.has(key)) continue;
      endWait(cursor);
      if (!pending.has(key) || replaced.has(key)) {
        this.#cursors.delete(key);
        revoked.push(cursor);
      } else if (cursor.state === 'assigned') {
        cursor.state = 'revoking';
        revoking.push(cursor);
      }
    }
    return { assigned: given.map((cursor) => this.give(cursor)), revoking, revoked };
  }

  /**
   * @param newest the epoch of the member
   * @throws ServiceError BAD_REQUEST if one of the partitions is not being revoked; then nothing is released
   */
  release(released: Released, newest: number): void {
    const { partitions, memberEpoch: askedAt = newest } = released;
    if (askedAt > newest) {
      throw new ServiceError(
        'BAD_REQUEST',
        `The member is at memberEpoch ${newest}, and has never been at ${askedAt}. Name that of the revoking frame.`,
      );
    }
    const named = partitions && eachPartition(partitions);
    // Who names an older epoch has sent it before it could know that nothing of that is left.
    if (named && askedAt === newest) for (const at of named) this.#checkRevoking(at);
    const keys = named && new Set(named.map(cursorKey));
    for (const [key, cursor] of this.#cursors) {
      if (cursor.state !== 'revoking' || cursor.epoch > askedAt) continue;
      if (!keys || keys.has(key)) cursor.state = 'released';
    }
  }

  /** Nobody waits for records any more. */
  endWaits(): void {
    for (const cursor of this.#cursors.values()) endWait(cursor);
  }

  #checkRevoking(at: TopicPartition): void {
    const cursor = this.#cursors.get(cursorKey(at));
    if (cursor?.state === 'revoking') return;
    const states = { assigned: 'the member has it', released: 'it was released' };
    const why = cursor ? states[cursor.state] : 'the member has it not';
    throw new ServiceError(
      'BAD_REQUEST',
      `Partition ${at.partition} of topic '${at.topic}' is not being revoked: ${why}. Release what a revoking frame names.`,
      { topic: at.topic, partition: at.partition },
    );
  }
}
