// A member of a group over one WebSocket: it joins again under its id when the connection breaks, and tells its owner what it has.
import { errorOfProblem, type WeirError } from './errors.ts';
import { queryOf } from './http.ts';
import type { Settings } from './options.ts';
import { ReconnectingSocket } from './reconnecting-socket.ts';
import { now } from './time.ts';
import type { GroupClientFrame, GroupServerFrame, LogRecord, TopicPartitions } from './wire.ts';

export interface MemberOptions {
  group: string;
  query: { readonly [name: string]: string | number | undefined };
  /** How many records the server may send before any was processed. */
  credit: number;
}

export interface MemberOwner {
  /** @param isSame the member has what it had before the connection was lost, and nobody else had it meanwhile */
  joined(assignment: TopicPartitions[], isSame: boolean): void;
  assigned(partitions: TopicPartitions[]): void;
  /** To be released by `release` once nothing of them is processed any more. */
  revoking(partitions: TopicPartitions[], withinMs: number): void;
  /** They belong to another member, or are gone. */
  lost(partitions: TopicPartitions[]): void;
  records(batch: { topic: string; partition: number; records: LogRecord[]; nextOffset: number }): void;
  failed(error: WeirError): void;
}

interface CommitWaiter {
  resolve(): void;
  reject(error: unknown): void;
}

interface Offset {
  topic: string;
  partition: number;
  offset: number;
  waiters: CommitWaiter[];
}

/** Refusals of a member after which a new join helps. */
const mayJoinAgain: ReadonlySet<string> = new Set(['UNKNOWN_MEMBER', 'FENCED_MEMBER_EPOCH', 'TOO_MANY_REQUESTS']);
/** A member that takes nothing must show that it is alive. */
const pingMs = 5000;
const silenceMsMax = 30_000;
const leaveMsMax = 3000;

export class Member {
  readonly #owner: MemberOwner;
  readonly #options: MemberOptions;
  readonly #socket: ReconnectingSocket;
  /** What is to be committed with the next frame, by partition: one frame at a time is on its way. */
  readonly #commits = new Map<string, Offset>();
  #sent: { id: string; offsets: Offset[] } | undefined;
  #lastId = 0;
  #memberEpoch: number | undefined;
  /** Credit that was given back and not sent yet. */
  #credit = 0;
  #problem: WeirError | undefined;
  #isJoined = false;
  #hasEnded = false;
  #onLeft: (() => void) | undefined;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(settings: Settings, options: MemberOptions, owner: MemberOwner) {
    this.#owner = owner;
    this.#options = options;
    const { group, query } = options;
    this.#socket = new ReconnectingSocket(settings, {
      path: () => `/v1/groups/${encodeURIComponent(group)}/stream${queryOf(query)}`,
      isNeeded: () => !this.#hasEnded,
      opened: () => {},
      received: (text) => this.#received(JSON.parse(text) as GroupServerFrame),
      closed: (code, reason) => this.#closed(code, reason),
      refused: (reason) => {
        const detail = `A consumer needs a WebSocket: ${reason}.`;
        this.#fail(errorOfProblem({ code: 'NOT_IMPLEMENTED', status: 501, detail }));
      },
    });
    this.#timer = setInterval(() => this.#tick(), pingMs);
    this.#socket.connect();
  }

  /** Records were processed or dropped: the server may send as many more. */
  give(records: number): void {
    this.#credit += records;
    if (!this.#isJoined || this.#credit < this.#options.credit / 4) return;
    this.#send({ type: 'credit', records: this.#credit });
    this.#credit = 0;
  }

  /** Commits an offset. Resolves when the server has it. @throws WeirError STALE_MEMBER_EPOCH if the partition was taken away */
  commit(topic: string, partition: number, offset: number): Promise<void> {
    const key = `${partition} ${topic}`;
    const waiting = this.#commits.get(key);
    const waiters = waiting?.waiters ?? [];
    this.#commits.set(key, { topic, partition, offset, waiters });
    const result = new Promise<void>((resolve, reject) => waiters.push({ resolve, reject }));
    // Whoever does not wait for it has the records again after a failure.
    result.catch(() => {});
    this.#sendCommits();
    return result;
  }

  /** Gives up partitions that are being revoked. */
  release(partitions: TopicPartitions[]): void {
    this.#send({ type: 'released', partitions, ...this.#epoch() });
  }

  /** Joins again, and begins at the committed offsets. */
  rejoin(): void {
    this.#memberEpoch = undefined;
    this.#socket.drop('to begin at other offsets');
  }

  /** Leaves the group: the other members get the partitions at once. */
  async leave(): Promise<void> {
    if (!this.#hasEnded && this.#isJoined) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leaveMsMax);
        this.#onLeft = () => {
          clearTimeout(timer);
          resolve();
        };
        this.#send({ type: 'leave' });
      });
    }
    this.#stop();
  }

  #stop(): void {
    this.#hasEnded = true;
    this.#isJoined = false;
    clearInterval(this.#timer);
    this.#socket.stop();
  }

  #fail(error: WeirError): void {
    if (this.#hasEnded) return;
    this.#stop();
    for (const { waiters } of [...this.#commits.values(), ...(this.#sent?.offsets ?? [])]) {
      for (const { reject } of waiters) reject(error);
    }
    this.#owner.failed(error);
  }

  #send(frame: GroupClientFrame): void {
    this.#socket.send(JSON.stringify(frame));
  }

  #epoch(): { memberEpoch?: number } {
    return this.#memberEpoch === undefined ? {} : { memberEpoch: this.#memberEpoch };
  }

  #received(frame: GroupServerFrame): void {
    switch (frame.type) {
      case 'joined': {
        const isSame = this.#memberEpoch === frame.memberEpoch;
        this.#memberEpoch = frame.memberEpoch;
        this.#isJoined = true;
        this.#socket.succeeded();
        this.#credit = 0;
        this.#owner.joined(frame.assignment, isSame);
        this.#send({ type: 'credit', records: this.#options.credit });
        this.#sendCommits();
        break;
      }
      case 'assigned':
        this.#memberEpoch = frame.memberEpoch;
        this.#owner.assigned(frame.partitions);
        break;
      case 'revoking':
        this.#memberEpoch = frame.memberEpoch;
        this.#owner.revoking(frame.partitions, frame.withinMs);
        break;
      case 'revoked':
        this.#memberEpoch = frame.memberEpoch;
        this.#owner.lost(frame.partitions);
        break;
      case 'records':
        this.#owner.records(frame);
        break;
      case 'committed':
        this.#committed(frame.id, undefined);
        break;
      case 'error': {
        const failure = errorOfProblem(frame);
        if (frame.id === undefined) this.#problem = failure;
        else this.#committed(frame.id, failure);
      }
    }
  }

  #sendCommits(): void {
    if (!this.#isJoined || this.#sent || this.#commits.size === 0) return;
    const offsets = [...this.#commits.values()].slice(0, 1000);
    for (const { topic, partition } of offsets) this.#commits.delete(`${partition} ${topic}`);
    this.#lastId += 1;
    this.#sent = { id: String(this.#lastId), offsets };
    const frame = offsets.map(({ topic, partition, offset }) => ({ topic, partition, offset }));
    this.#send({ type: 'commit', id: this.#sent.id, offsets: frame, ...this.#epoch() });
  }

  #committed(id: string | undefined, error: WeirError | undefined): void {
    const sent = this.#sent;
    if (!sent || sent.id !== id) return;
    this.#sent = undefined;
    if (error?.retryable) this.#commitAgain(sent.offsets);
    else
      for (const { waiters } of sent.offsets)
        for (const { resolve, reject } of waiters) error ? reject(error) : resolve();
    this.#sendCommits();
  }

  /** What was not answered is sent with the next frame, unless something newer is to be committed. */
  #commitAgain(offsets: Offset[]): void {
    for (const each of offsets) {
      const key = `${each.partition} ${each.topic}`;
      const newer = this.#commits.get(key);
      if (newer) newer.waiters.push(...each.waiters);
      else this.#commits.set(key, each);
    }
  }

  #closed(code: number, reason: string): void {
    this.#isJoined = false;
    if (this.#onLeft) {
      this.#hasEnded = true;
      this.#onLeft();
      return;
    }
    if (this.#sent) this.#commitAgain(this.#sent.offsets);
    this.#sent = undefined;
    const problem = this.#problem;
    this.#problem = undefined;
    const isFinal = code >= 4400 && code < 4500 && !mayJoinAgain.has(problem?.code ?? reason) && !problem?.retryable;
    if (isFinal)
      this.#fail(
        problem ?? errorOfProblem({ status: code - 4000, detail: `The server has refused the member: ${reason}.` }),
      );
  }

  #tick(): void {
    if (!this.#isJoined) return;
    if (now() - this.#socket.receivedAt > silenceMsMax) this.#socket.drop('silent');
    else this.#send({ type: 'ping' });
  }
}
