// A member of a group: over a WebSocket, or over HTTP where none opens.
import { Commits } from './commits.ts';
import { closedError, type WeirError } from './errors.ts';
import type { Http } from './http.ts';
import type { Settings } from './options.ts';
import { SocketMember } from './socket-member.ts';
import type { JoinGroup, LogRecord, TopicPartitions } from './wire.ts';

export interface MemberOptions {
  group: string;
  join: JoinGroup;
  /** How many records the server may send before any was processed. */
  credit: number;
}

export interface MemberOwner {
  /** @param isSame the member has what it had before the connection was lost, and nobody else had it meanwhile */
  joined(assignment: TopicPartitions[], isSame: boolean): void;
  assigned(partitions: TopicPartitions[]): void;
  /** To be released by `release` once nothing of them is processed any more. */
  revoking(partitions: TopicPartitions[]): void;
  /** They belong to another member, or are gone. */
  lost(partitions: TopicPartitions[]): void;
  records(batch: { topic: string; partition: number; records: LogRecord[]; nextOffset: number }): void;
  failed(error: WeirError): void;
}

/** A member as one kind of connection makes it. */
export interface ConnectedMember {
  give(records: number): void;
  sendCommits(): void;
  release(partitions: TopicPartitions[]): void;
  rejoin(): void;
  leave(): Promise<void>;
}

export class Member {
  readonly #commits = new Commits();
  #connected: ConnectedMember;
  #hasLeft = false;

  constructor(http: Http, settings: Settings, options: MemberOptions, owner: MemberOwner) {
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
