// Consumer groups as one broker serves them: members join, are heard and leave; those whose session ends are taken out,
// those that do not let go in time are fenced, and changes of topics move partitions. Every broker does all of it for
// every group. Committed offsets are in group-offsets.ts, reading is in group-consumer.ts.
import { randomBytes, randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { TopicPartitions } from '../core/assignors/assignor.ts';
import {
  checkEmpty,
  checkName,
  existing,
  type GroupMember,
  heartbeatIntervalMs,
  isEmpty,
} from '../core/group-document.ts';
import { groupsPath, parseTimerName } from '../core/group-nodes.ts';
import { hasArrived } from '../core/group-settle.ts';
import { fenceOverdue, fenceStuck, type JoinRequest, type MemberChange, topicsChanged } from '../core/group-state.ts';
import { assignmentOf } from '../core/reconcile.ts';
import { ServiceError } from '../core/service-error.ts';
import type { Groups } from '../store/groups.ts';
import type { Idempotency, Namespace } from '../store/namespace.ts';
import type { Transaction } from '../store/node-codec.ts';
import type { EventTail } from './event-tail.ts';
import type { GroupLedger } from './group-ledger.ts';
import type { GroupMetrics } from './group-metrics.ts';
import { checkPattern } from './group-patterns.ts';
import { GroupRequests } from './group-requests.ts';
import { viewOf } from './group-topics.ts';
import { Repeat } from './repeat.ts';
import type { Topics } from './topics.ts';

/** What a client says when it joins: it need not choose an id, and gets its session here. */
export interface Join extends Omit<JoinRequest, 'memberId' | 'sessionId'> {
  memberId?: string | undefined;
}

/** What a member is told when it joins and at each heartbeat. */
export interface MemberAnswer {
  memberId: string;
  memberEpoch: number;
  assignment: TopicPartitions[];
  heartbeatIntervalMs: number;
  sessionTimeoutMs: number;
}

/** Kafka's bounds on what a member may ask for; the lower one of the session is configured. */
const sessionTimeoutMsMax = 30 * 60_000;
const rebalanceTimeoutMsMin = 100;
const rebalanceTimeoutMsMax = 60 * 60_000;

const sweepEveryMs = 1000;
const timersEveryMs = 250;
/** Who claims a timer acts on it within this time, or another does. */
const timerClaimMs = 5000;
const timersAtOnce = 100;
/** Changes of topics are heard of at once; this finds what was missed in a gap of the event stream. */
const topicsEveryMs = 60_000;
const groupsAtOnce = 1000;

export class GroupCoordinator {
  readonly #groups: Groups;
  readonly #ledger: GroupLedger;
  readonly #requests: GroupRequests;
  readonly #metrics: GroupMetrics;
  readonly #log: Logger;
  readonly #sources: { namespace: Namespace; topics: Topics };
  readonly #tail: EventTail;
  readonly #sessionMinTtlMs: number;
  readonly #sweeper: Repeat;
  readonly #timers: Repeat;
  readonly #topicsChore: Repeat;
  /** Groups of which a member's node has gone. */
  readonly #toSweep = new Set<string>();
  readonly #unsubscribe: (() => void)[] = [];

  constructor(
    store: { groups: Groups; namespace: Namespace },
    ledger: GroupLedger,
    topics: Topics,
    tail: EventTail,
    options: { sessionMinTtlMs: number },
    metrics: GroupMetrics,
    log: Logger,
  ) {
    this.#groups = store.groups;
    this.#ledger = ledger;
    this.#requests = new GroupRequests(ledger, { namespace: store.namespace, topics });
    this.#metrics = metrics;
    this.#log = log;
    this.#sources = { namespace: store.namespace, topics };
    this.#tail = tail;
    this.#sessionMinTtlMs = options.sessionMinTtlMs;
    this.#sweeper = new Repeat('sweep of groups', sweepEveryMs, () => this.#sweep(), log);
    this.#timers = new Repeat('rebalance timers', timersEveryMs, () => this.#fenceOverdue(), log);
    this.#topicsChore = new Repeat('topics of groups', topicsEveryMs, () => this.#refreshTopics(), log);
  }

  /** Begins to look after groups; tail and topics have been started. */
  start(): void {
    this.#unsubscribe.push(
      this.#tail.subscribe((batch) => this.#accept(batch)),
      this.#sources.topics.onChange(() => this.#topicsChore.trigger()),
    );
    for (const chore of [this.#sweeper, this.#timers, this.#topicsChore]) chore.start();
  }

  async stop(): Promise<void> {
    for (const stop of this.#unsubscribe) stop();
    await Promise.all([this.#sweeper.stop(), this.#timers.stop(), this.#topicsChore.stop()]);
  }

  /**
   * Adds a member, or lets it begin anew if it is one.
   * @returns `call` = its newest consume call is the one of this number
   * @throws ServiceError BAD_REQUEST, UNSUPPORTED_ASSIGNOR, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID, TOO_LARGE,
   *   IDEMPOTENCY_KEY_REUSED
   */
  async join(
    group: string,
    request: Join,
    idempotency?: Idempotency,
  ): Promise<{ zxid: number; answer: MemberAnswer; replayed: boolean; call: number }> {
    checkName('group', group);
    const memberId = request.memberId ?? randomUUID();
    checkName('memberId', memberId);
    if (request.instanceId !== undefined) checkName('instanceId', request.instanceId);
    if ('pattern' in request.subscription) checkPattern(request.subscription.pattern);
    const sessionTimeoutMs = Math.min(Math.max(request.sessionTimeoutMs, this.#sessionMinTtlMs), sessionTimeoutMsMax);
    const rebalanceTimeoutMs = Math.min(
      Math.max(request.rebalanceTimeoutMs, rebalanceTimeoutMsMin),
      rebalanceTimeoutMsMax,
    );
    const sessionId = randomBytes(8).toString('hex');
    const joining = { ...request, memberId, sessionId, sessionTimeoutMs, rebalanceTimeoutMs };
    if (idempotency) return this.#joinOnce(group, joining, idempotency);
    const { zxid, member, call } = await this.#requests.ask(group, { kind: 'join', request: joining });
    return { zxid, answer: answerTo(member!), replayed: false, call };
  }

  /** A join by itself: its answer is kept with the key. */
  async #joinOnce(group: string, request: JoinRequest, idempotency: Idempotency) {
    const decide = this.#requests.decide(group, [{ kind: 'join', request }]);
    const { result, zxid, replayed, calls } = await this.#ledger.decide(
      group,
      async (document, isNewest) => {
        const decision = await decide(document, isNewest);
        const [joined] = decision.result;
        if (joined instanceof ServiceError) throw joined;
        const answer = answerTo(joined!);
        const commit = { ...decision.commit, idempotency, answer: JSON.stringify(answer) };
        return { ...decision, commit, result: answer };
      },
      true,
    );
    const [call] = calls as [number];
    if (replayed !== undefined) return { zxid, answer: JSON.parse(replayed) as MemberAnswer, replayed: true, call };
    return { zxid, answer: result, replayed: false, call };
  }

  /**
   * Keeps a member alive, hears what it has, and tells what it shall have.
   * @param owned undefined = it says nothing
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FENCED_MEMBER_EPOCH
   */
  async heartbeat(
    group: string,
    memberId: string,
    memberEpoch: number,
    owned: TopicPartitions[] | undefined,
  ): Promise<{ zxid: number; answer: MemberAnswer }> {
    const change: MemberChange = { kind: 'heartbeat', memberId, memberEpoch, owned };
    const remembered = this.#ledger.remembered(group)?.document;
    if (remembered && hasArrived(remembered, memberId)) {
      const quick = await this.#ledger.tryUnchanged(group, this.#requests.decide(group, [change]));
      if (quick) return { zxid: quick.zxid, answer: answerTo(quick.result[0] as GroupMember) };
    }
    const { zxid, member } = await this.#requests.ask(group, change);
    return { zxid, answer: answerTo(member!) };
  }

  /**
   * Takes a member out. `isTemporary`: a static member that will be back under its instance id keeps its partitions until
   * its session ends.
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_MEMBER, FENCED_INSTANCE_ID; BAD_REQUEST for a member without instance id
   */
  async leave(group: string, memberId: string, isTemporary = false): Promise<{ zxid: number }> {
    const { zxid } = await this.#requests.ask(group, { kind: 'leave', memberId, isTemporary });
    return { zxid };
  }

  /** Deletes a group with its committed offsets. @throws ServiceError UNKNOWN_GROUP, GROUP_NOT_EMPTY */
  async delete(group: string): Promise<{ zxid: number }> {
    return this.#ledger.decide(group, (document) => {
      checkEmpty(group, existing(group, document));
      return { document: 'delete', commit: { keeps: true }, result: undefined };
    });
  }

  #accept(batch: Transaction[]): void {
    const changed = new Set<string>();
    let isGone = false;
    for (const { events } of batch) {
      for (const { kind, path } of events) {
        if (!path.startsWith(`${groupsPath}/`)) continue;
        const [, , group, part, name] = path.split('/');
        if (name === undefined || (part !== 'ids' && part !== 'owners')) continue;
        changed.add(group!);
        if (part === 'ids' && kind === 'deleted') {
          this.#toSweep.add(group!);
          isGone = true;
        }
      }
    }
    for (const group of changed) this.#ledger.changed(group);
    if (isGone) this.#sweeper.trigger();
  }

  async #sweep(): Promise<void> {
    for (const group of [...this.#toSweep]) {
      // First out of the list: what happens from here on puts it there again.
      this.#toSweep.delete(group);
      try {
        await this.#ledger.sweep(group);
      } catch (error) {
        this.#toSweep.add(group);
        throw error;
      }
    }
  }

  async #fenceOverdue(): Promise<void> {
    for (const name of await this.#groups.due(timerClaimMs, timersAtOnce)) {
      const { group, memberId, memberEpoch } = parseTimerName(name);
      const { result: fenced } = await this.#ledger.decide(group, (document) => {
        const next =
          document &&
          (memberEpoch === undefined ? fenceStuck(document, memberId) : fenceOverdue(document, memberId, memberEpoch));
        return { document: next, commit: { keeps: true, cancel: [name] }, result: next !== document };
      });
      if (!fenced) continue;
      this.#metrics.fenced.inc();
      const why =
        memberEpoch === undefined
          ? 'A member was fenced: it made no consume call within its rebalance timeout'
          : 'A member was fenced: it did not let go of partitions within its rebalance timeout';
      this.#log.warn({ group, member: memberId }, why);
    }
  }

  async #refreshTopics(): Promise<void> {
    let after: string | undefined;
    do {
      const page = await this.#groups.versions(after, groupsAtOnce);
      for (const { group, version } of page.groups) {
        const document = await this.#ledger.at(group, version);
        if (!document || isEmpty(document)) continue;
        if (topicsChanged(document, await viewOf(this.#sources, document)) === document) continue;
        await this.#ledger.decide(group, async (current) => {
          const next = current && topicsChanged(current, await viewOf(this.#sources, current));
          return { document: next, idle: next === current, commit: { keeps: true }, result: undefined };
        });
      }
      after = page.next;
    } while (after !== undefined);
  }
}

export function answerTo(member: GroupMember): MemberAnswer {
  return {
    memberId: member.memberId,
    memberEpoch: member.memberEpoch,
    assignment: assignmentOf(member),
    heartbeatIntervalMs: heartbeatIntervalMs(member.sessionTimeoutMs),
    sessionTimeoutMs: member.sessionTimeoutMs,
  };
}
