// A member of a group: over a WebSocket, or over HTTP where none opens.
import { Commits } from './commits.ts';
import type { ConnectedMember, MemberOptions, MemberOwner } from './connected-member.ts';
import { closedError } from './errors.ts';
import type { Http } from './http.ts';
import type { Settings } from './options.ts';
import { SocketMember } from './socket-member.ts';
import { uniqueId } from './time.ts';
import type { TopicPartitions } from './wire.ts';

export class Member {
  readonly #commits = new Commits();
  #connected: ConnectedMember;
  #hasLeft = false;

  constructor(http: Http, settings: Settings, given: MemberOptions, owner: MemberOwner) {
    const options = { ...given, join: { ...given.join, memberId: given.join.memberId ?? memberIdOf(given.group) } };
    const fallBack = async () => {
      // Few clients need it, so it is loaded only then.
      const { HttpMember } = await import('./http-member.ts');
      if (!this.#hasLeft) this.#connected = new HttpMember(http, settings, options, owner, this.#commits);
    };
    this.#connected = new SocketMember(settings, options, owner, this.#commits, () => void fallBack());
  }

  /** Records were processed or dropped: the server may send as many more. */
  give(records: number): void {
    this.#connected.give(records);
  }

  /** Commits an offset. Resolves when the server has it. @throws WeirError STALE_MEMBER_EPOCH if the partition was taken away */
  commit(topic: string, partition: number, offset: number): Promise<void> {
    if (this.#hasLeft) return Promise.reject(closedError('The consumer'));
    const result = this.#commits.add(topic, partition, offset);
    this.#connected.sendCommits();
    return result;
  }

  /** Gives up partitions that are being revoked. */
  release(partitions: TopicPartitions[]): void {
    this.#connected.release(partitions);
  }

  /** Begins at the committed offsets. */
  rejoin(): void {
    this.#connected.rejoin();
  }

  /** Leaves the group: the other members get the partitions at once. */
  async leave(): Promise<void> {
    this.#hasLeft = true;
    await this.#connected.leave();
    this.#commits.failAll(closedError('The consumer'));
  }
}

/** A tab that loads its page again is the same member. */
function memberIdOf(group: string): string {
  const { sessionStorage } = globalThis as {
    sessionStorage?: { getItem(name: string): string | null; setItem(name: string, value: string): void };
  };
  const name = `weir-member:${group}`;
  try {
    const id = sessionStorage?.getItem(name) ?? uniqueId();
    sessionStorage?.setItem(name, id);
    return id;
  } catch {
    // A page may be forbidden to store anything.
    return uniqueId();
  }
}
