// A member of a group over HTTP, for where no WebSocket opens: a consume call, then heartbeats until its records are processed and
// committed. A consume call says just that: while it waits, the server may give any partition to another member, who begins at what is
// committed.
import type { Commits } from './commits.ts';
import type { ConnectedMember, MemberOptions, MemberOwner } from './connected-member.ts';
import { isWeirError, type WeirError } from './errors.ts';
import { type Http, queryOf } from './http.ts';
import { backoffMs, type Settings } from './options.ts';
import { linkedController, sleep } from './time.ts';
import type { Consumed, GroupJoined, GroupMembership, LogRecord, TopicPartitions } from './wire.ts';

/** After these a new join helps. */
const mayJoinAgain = ['UNKNOWN_MEMBER', 'UNKNOWN_GROUP', 'FENCED_MEMBER_EPOCH'] as const;
/** Most records of one consume call. */
const recordsMax = 1000;
const leaveMsMax = 3000;

export class HttpMember implements ConnectedMember {
  readonly #http: Http;
  readonly #settings: Settings;
  readonly #options: MemberOptions;
  readonly #owner: MemberOwner;
  readonly #commits: Commits;
  readonly #path: string;
  /** Ends everything but the request to leave. */
  readonly #ended = new AbortController();
  /** Ends the wait of the moment: for records, for room, or for the next heartbeat. */
  #step = new AbortController();
  /** It waits until it may consume, or for the next heartbeat. */
  #isIdle = false;
  /** The server has yet to hear of partitions that were released. */
  #hasReleased = false;
  #member: GroupJoined | undefined;
  #owned: TopicPartitions[] = [];
  /** Not assigned any more, and not released: something of them is being processed. */
  #revoking: TopicPartitions[] = [];
  #credit = 0;
  /** The `next` of the last consume call. */
  #next = 0;
  /** The next consume call goes back to the committed offsets. */
  #mustGoBack = false;

  constructor(http: Http, settings: Settings, options: MemberOptions, owner: MemberOwner, commits: Commits) {
    this.#http = http;
    this.#settings = settings;
    this.#options = options;
    this.#owner = owner;
    this.#commits = commits;
    this.#path = `/v1/groups/${encodeURIComponent(options.group)}`;
    void this.#run();
  }

  give(records: number): void {
    this.#credit += records;
    if (this.#mayConsume()) this.#wake();
  }

  release(partitions: TopicPartitions[]): void {
    this.#revoking = without(this.#revoking, partitions);
    this.#hasReleased = true;
    this.#wake();
  }

  rejoin(): void {
    this.#mustGoBack = true;
    this.#step.abort();
  }

  async leave(): Promise<void> {
    this.#ended.abort();
    if (!this.#member) return;
    const { path, headers } = this.#addressed();
    // Without a response the member is removed by its session timeout.
    await this.#http.once({ method: 'DELETE', path, headers }, leaveMsMax).catch(() => {});
  }

  sendCommits(): void {
    const offsets = this.#member && !this.#ended.signal.aborted ? this.#commits.take() : undefined;
    if (offsets) void this.#commit(offsets);
  }

  async #commit(offsets: object[]): Promise<void> {
    const { headers, memberId, memberEpoch } = this.#addressed();
    const body = { memberId, memberEpoch, offsets };
    try {
      await this.#http.json({
        method: 'POST',
        path: `${this.#path}/offsets`,
        headers,
        body,
        signal: this.#ended.signal,
      });
      this.#commits.answered();
    } catch (error) {
      if (!isWeirError(error)) {
        this.#commits.unanswered();
        return;
      }
      this.#commits.answered(error);
      await sleep(backoffMs(this.#settings, 0), this.#ended.signal).catch(() => {});
    }
    this.sendCommits();
    if (this.#mayConsume()) this.#wake();
  }

  async #run(): Promise<void> {
    for (let attempt = 0; !this.#ended.signal.aborted; attempt += 1) {
      const { controller, unlink } = linkedController(this.#ended.signal);
      this.#step = controller;
      try {
        if (!this.#member) await this.#join();
        else if (this.#mayConsume()) await this.#consume(this.#member, controller.signal);
        else await this.#waitToConsume(this.#member, controller.signal);
        attempt = -1;
      } catch (error) {
        if (controller.signal.aborted) attempt = -1;
        else if (!this.#takesFailure(error)) return;
        else await sleep(backoffMs(this.#settings, attempt), this.#ended.signal).catch(() => {});
      } finally {
        unlink();
      }
    }
  }

  /** @returns whether it is worth another attempt */
  #takesFailure(error: unknown): boolean {
    if (isWeirError(error, ...mayJoinAgain)) {
      this.#member = undefined;
      this.#owner.lost([...this.#owned, ...this.#revoking]);
      return true;
    }
    if (isWeirError(error, 'STALE_POSITION')) {
      this.#mustGoBack = true;
      return true;
    }
    if (!isWeirError(error) || error.retryable) return true;
    this.#fail(error);
    return false;
  }

  #fail(error: WeirError): void {
    this.#ended.abort();
    this.#commits.failAll(error);
    this.#owner.failed(error);
  }

  async #join(): Promise<void> {
    const { signal } = this.#ended;
    const path = `${this.#path}/members`;
    this.#member = await this.#http.json<GroupJoined>({ method: 'POST', path, body: this.#options.join, signal });
    this.#next = 0;
    this.#revoking = [];
    this.#begin(this.#member.assignment);
    this.sendCommits();
  }

  /** From now on the records behind the committed offsets come. */
  #begin(assignment: TopicPartitions[]): void {
    this.#owned = assignment;
    this.#credit = this.#options.credit;
    this.#owner.joined(assignment, false);
    if (this.#revoking.length > 0) this.#owner.revoking(this.#revoking);
  }

  async #consume({ heartbeatIntervalMs }: GroupJoined, signal: AbortSignal): Promise<void> {
    this.#isIdle = false;
    if (this.#mustGoBack) this.#begin(this.#owned);
    const { path, headers } = this.#addressed();
    // Such a call may be repeated without a number, and with none it is the next one whatever was lost before.
    const place = this.#mustGoBack ? { from: 'committed' } : { after: this.#next };
    const query = queryOf({
      ...place,
      wait: `${heartbeatIntervalMs}ms`,
      maxRecords: Math.min(this.#credit, recordsMax),
    });
    const consumed = await this.#http.json<Consumed>({
      path: `${path}/records${query}`,
      headers,
      signal,
      waitMs: heartbeatIntervalMs,
    });
    signal.throwIfAborted();
    this.#mustGoBack = false;
    this.#next = consumed.next;
    this.#credit -= consumed.records.length;
    for (const { topic, partition, nextOffset } of consumed.partitions) {
      const records = consumed.records.flatMap(({ topic: of, partition: at, ...record }): LogRecord[] =>
        of === topic && at === partition ? [record] : [],
      );
      if (records.length > 0) this.#owner.records({ topic, partition, records, nextOffset });
    }
    this.#reassigned(consumed);
  }

  /** Whether all records were processed, and what was to be committed of them is. */
  #mayConsume(): boolean {
    return this.#credit >= this.#options.credit && this.#revoking.length === 0 && this.#commits.isEmpty;
  }

  /** Until then heartbeats keep the membership, and tell what was released. */
  async #waitToConsume({ heartbeatIntervalMs }: GroupJoined, signal: AbortSignal): Promise<void> {
    this.#isIdle = true;
    if (!this.#hasReleased) await sleep(heartbeatIntervalMs, signal).catch(() => {});
    if (this.#mayConsume()) return;
    this.#hasReleased = false;
    const { path, headers, memberEpoch } = this.#addressed();
    const body = { memberEpoch, owned: [...this.#owned, ...this.#revoking] };
    const request = { method: 'POST', path: `${path}/heartbeat`, headers, body, isRepeatable: true } as const;
    this.#reassigned(await this.#http.json<GroupMembership>({ ...request, signal: this.#ended.signal }));
  }

  #reassigned({ memberEpoch, assignment }: Pick<GroupMembership, 'memberEpoch' | 'assignment'>): void {
    if (this.#member) this.#member.memberEpoch = memberEpoch;
    const added = without(assignment, this.#owned);
    const removed = without(this.#owned, assignment);
    this.#owned = assignment;
    this.#revoking.push(...removed);
    if (added.length > 0) this.#owner.assigned(added);
    if (removed.length > 0) this.#owner.revoking(removed);
  }

  #addressed(): { path: string; headers: { 'weir-member': string }; memberId: string; memberEpoch: number } {
    const { memberId = '', memberSecret = '', memberEpoch = 0 } = this.#member ?? {};
    const path = `${this.#path}/members/${encodeURIComponent(memberId)}`;
    return { path, headers: { 'weir-member': memberSecret }, memberId, memberEpoch };
  }

  /** Ends a wait that is not for records. */
  #wake(): void {
    if (this.#isIdle) this.#step.abort();
  }
}

/** The partitions of `all` that are not among `others`. */
function without(all: TopicPartitions[], others: TopicPartitions[]): TopicPartitions[] {
  const left = all.map(({ topic, partitions }) => ({
    topic,
    partitions: partitions.filter(
      (partition) => !others.some((other) => other.topic === topic && other.partitions.includes(partition)),
    ),
  }));
  return left.filter(({ partitions }) => partitions.length > 0);
}
