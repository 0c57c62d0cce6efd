// A member of a group over one WebSocket: it joins again under its id when the connection breaks, and tells its owner what it has.
import type { Commits } from './commits.ts';
import type { ConnectedMember, MemberOptions, MemberOwner } from './connected-member.ts';
import { errorOfProblem, type WeirError } from './errors.ts';
import { queryOf } from './http.ts';
import type { Settings } from './options.ts';
import { ReconnectingSocket } from './reconnecting-socket.ts';
import { now } from './time.ts';
import type { GroupClientFrame, GroupServerFrame, TopicPartitions } from './wire.ts';

/** Refusals of a member after which a new join helps. */
const mayJoinAgain: ReadonlySet<string> = new Set(['UNKNOWN_MEMBER', 'FENCED_MEMBER_EPOCH', 'TOO_MANY_REQUESTS']);
/** A member that takes nothing must show that it is alive. */
const pingMs = 5000;
const silenceMsMax = 30_000;
const leaveMsMax = 3000;

export class SocketMember implements ConnectedMember {
  readonly #owner: MemberOwner;
  readonly #options: MemberOptions;
  readonly #socket: ReconnectingSocket;
  readonly #commits: Commits;
  /** The id of the commit that has no result. */
  #committing: string | undefined;
  #lastId = 0;
  #memberEpoch: number | undefined;
  /** Credit that was given back and not sent yet. */
  #credit = 0;
  #problem: WeirError | undefined;
  #isJoined = false;
  #hasEnded = false;
  #onLeft: (() => void) | undefined;
  readonly #timer: ReturnType<typeof setInterval>;

  /** @param onRefused called if no WebSocket can be opened though the server responds; the member is not used any more then */
  constructor(settings: Settings, options: MemberOptions, owner: MemberOwner, commits: Commits, onRefused: () => void) {
    this.#owner = owner;
    this.#options = options;
    this.#commits = commits;
    const { topics, ...join } = options.join;
    const query = queryOf({ topics: topics?.join(','), ...join });
    this.#socket = new ReconnectingSocket(settings, {
      path: () => `/v1/groups/${encodeURIComponent(options.group)}/stream${query}`,
      isNeeded: () => !this.#hasEnded,
      opened: () => {},
      received: (text) => this.#received(JSON.parse(text) as GroupServerFrame),
      closed: (code, reason) => this.#closed(code, reason),
      refused: () => {
        this.#stop();
        onRefused();
      },
    });
    this.#timer = setInterval(() => this.#tick(), pingMs);
    this.#socket.connect();
  }

  give(records: number): void {
    this.#credit += records;
    if (!this.#isJoined || this.#credit < this.#options.credit / 4) return;
    this.#send({ type: 'credit', records: this.#credit });
    this.#credit = 0;
  }

  release(partitions: TopicPartitions[]): void {
    this.#send({ type: 'released', partitions, ...this.#epoch() });
  }

  rejoin(): void {
    this.#memberEpoch = undefined;
    this.#socket.drop('to begin at other offsets');
  }

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
    this.#commits.failAll(error);
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
        this.sendCommits();
        break;
      }
      case 'assigned':
        this.#memberEpoch = frame.memberEpoch;
        this.#owner.assigned(frame.partitions);
        break;
      case 'revoking':
        this.#memberEpoch = frame.memberEpoch;
        this.#owner.revoking(frame.partitions);
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

  sendCommits(): void {
    const offsets = this.#isJoined ? this.#commits.take() : undefined;
    if (!offsets) return;
    this.#lastId += 1;
    this.#committing = String(this.#lastId);
    this.#send({ type: 'commit', id: this.#committing, offsets, ...this.#epoch() });
  }

  #committed(id: string | undefined, error: WeirError | undefined): void {
    if (id === undefined || id !== this.#committing) return;
    this.#committing = undefined;
    this.#commits.answered(error);
    this.sendCommits();
  }

  #closed(code: number, reason: string): void {
    this.#isJoined = false;
    if (this.#onLeft) {
      this.#hasEnded = true;
      this.#onLeft();
      return;
    }
    this.#committing = undefined;
    this.#commits.unanswered();
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
