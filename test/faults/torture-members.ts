// Members of a group that die, leave, and join again through any broker, over HTTP and on sockets. One log records the
// assignments and records that each received.
import WebSocket from 'ws';
import type { GroupServerFrame } from '../../schemas/group-stream.ts';
import type { Random } from '../helpers/random.ts';
import type { AssignmentHistory } from './assignment-history.ts';
import { count, goesOn } from './fault-log.ts';
import { TortureClient, unavailableCodes } from './torture-client.ts';

export const sessionTimeoutMs = 3000;
const rebalanceTimeoutMs = 4000;
/** A member ignores a response that takes longer than this, as its session may have expired by then. */
const patienceMs = 2000;

export interface GroupUnderTorture {
  group: string;
  topic: string;
  urls: readonly string[];
  log: AssignmentHistory;
  /** Once aborted, no more members die. */
  calm: AbortSignal;
}

/** Codes that may end a membership or a commit while brokers die and others take over. */
const expectedCodes = new Set([
  'UNKNOWN_MEMBER',
  'UNKNOWN_GROUP',
  'MEMBER_SUPERSEDED',
  'FENCED_MEMBER_EPOCH',
  'STALE_MEMBER_EPOCH',
  ...unavailableCodes,
  'TOO_MANY_REQUESTS',
]);

/** The base of both kinds of members: one membership after the other under one member id. */
export abstract class TortureMember extends TortureClient {
  readonly in: GroupUnderTorture;
  readonly #name: string;
  #lives = 0;
  memberId = '';

  constructor(name: string, group: GroupUnderTorture, random: Random) {
    super(group.urls, random);
    this.in = group;
    this.#name = name;
  }

  async run(signal: AbortSignal): Promise<void> {
    for (let comesBack = false; !signal.aborted; comesBack = this.random.chance(0.5)) {
      if (!comesBack) this.memberId = `${this.#name}-${this.#lives++}`;
      await this.live(signal);
      await goesOn(this.random.between(0, 500), signal);
    }
  }

  /** From a join to the next end of the membership. */
  abstract live(signal: AbortSignal): Promise<void>;

  judge(code: string, what: unknown): void {
    if (!expectedCodes.has(code)) this.problems.push(`${this.memberId} was refused: ${JSON.stringify(what)}`);
  }
}

/** Reads by consume calls, either with `after`, or with `from=committed` after a lost response. */
export class HttpMember extends TortureMember {
  readonly #namesAfter: boolean;

  constructor(name: string, group: GroupUnderTorture, random: Random, namesAfter: boolean) {
    super(name, group, random);
    this.#namesAfter = namesAfter;
  }

  async live(signal: AbortSignal): Promise<void> {
    const { group, topic, log } = this.in;
    const { memberId } = this;
    const members = `/v1/groups/${group}/members`;
    const timeouts = { sessionTimeout: sessionTimeoutMs, rebalanceTimeout: rebalanceTimeoutMs };
    const joined = await this.ask(members, 'POST', { topics: [topic], memberId, reset: 'earliest', ...timeouts });
    if (joined?.status !== 201) return;
    let [from, after] = ['committed', 0];
    for (let calls = 0; !signal.aborted; calls += 1) {
      if (!this.in.calm.aborted && calls > 10 && this.random.chance(0.03)) {
        count(this.outcomes, 'died');
        return log.endAll(memberId, 'lost');
      }
      if (!this.in.calm.aborted && calls > 10 && this.random.chance(0.02)) {
        log.endAll(memberId, 'left');
        return void (await this.ask(`${members}/${memberId}`, 'DELETE'));
      }
      const sentAt = performance.now();
      const goesOnFrom = this.#namesAfter ? `after=${after}` : `from=${from}`;
      const call = `${members}/${memberId}/records?wait=200&maxRecords=200&commit=previous&${goesOnFrom}`;
      const response = await this.ask(call, 'GET', undefined, {}, patienceMs);
      if (response?.status === 200) {
        this.#take(response.body, sentAt);
        const { next } = response.body;
        if (this.#namesAfter && next !== after && this.random.chance(0.2)) await this.#repeat(call, response.body);
        [from, after] = ['position', next];
        continue;
      }
      // It is unknown what that call released or received.
      log.endAll(memberId, 'lost', sentAt);
      if (response) this.judge(response.body.code, response.body);
      if (response && response.status < 500 && response.status !== 429) return;
      from = 'committed';
      await goesOn(this.random.between(20, 200), signal);
    }
    log.endAll(memberId, 'lost');
  }

  /** Repeats a call as if its response was lost: the response has the same records of partitions that the member still has. */
  async #repeat(call: string, first: any): Promise<void> {
    const again = await this.ask(call, 'GET', undefined, {}, patienceMs);
    if (!again) return;
    if (again.status !== 200) return this.judge(again.body.code, again.body);
    count(this.outcomes, 'repeated');
    const { next, records } = again.body;
    const partitions = partitionsIn(again.body);
    const kept = first.records.filter(({ partition }: any) => partitions.has(partition));
    if (next === first.next && JSON.stringify(records) === JSON.stringify(kept)) return;
    const places = (of: any[]) => of.map(({ partition, offset }) => `${partition}/${offset}`).join(' ');
    this.problems.push(
      `${this.memberId} was given ${first.next}: ${places(kept)}; and by the same call ${next}: ${places(records)}`,
    );
  }

  #take(response: any, sentAt: number): void {
    const { log } = this.in;
    const partitions = partitionsIn(response);
    for (const partition of log.heldBy(this.memberId)) {
      if (!partitions.has(partition)) log.end(this.memberId, partition, 'released', sentAt);
    }
    for (const partition of partitions) {
      if (!log.isHeld(this.memberId, partition)) log.begin(this.memberId, partition);
    }
    for (const partition of partitions) {
      const given = response.records.filter((record: any) => record.partition === partition);
      log.give(
        this.memberId,
        partition,
        given.map(({ offset }: any) => offset),
      );
    }
  }
}

/** Records of partitions that the member has. A partition that is being revoked is not in the assignment any more, but a repeated
 * response has its records. */
function partitionsIn({ assignment, records }: any): Set<number> {
  return new Set([
    ...assignment.flatMap((list: any) => list.partitions),
    ...records.map(({ partition }: any) => partition),
  ]);
}

/** How many received records a member on a socket has not processed yet. */
const window = 200;

export class SocketMember extends TortureMember {
  async live(signal: AbortSignal): Promise<void> {
    const { group, topic, urls, calm, log } = this.in;
    const query = `topics=${topic}&memberId=${this.memberId}&reset=earliest&sessionTimeout=${sessionTimeoutMs}&rebalanceTimeout=${rebalanceTimeoutMs}`;
    const ws = new WebSocket(`${this.random.pick(urls).replace('http', 'ws')}/v1/groups/${group}/stream?${query}`, {
      handshakeTimeout: 2000,
    });
    let heardAt = performance.now();
    let how: 'lost' | 'left' = 'lost';
    const hear = () => {
      heardAt = performance.now();
    };
    ws.on('ping', hear);
    ws.on('error', () => count(this.outcomes, 'no connection'));
    ws.on('message', (data: Buffer) => {
      hear();
      this.#take(ws, JSON.parse(data.toString()));
    });
    const closed = new Promise<void>((resolve) => ws.once('close', () => resolve()));
    const ends = { atMs: performance.now() + this.random.between(500, 8000), by: this.random.next() };
    const watch = setInterval(() => {
      const now = performance.now();
      // A member without messages from its broker for so long may be fenced, and connects to another broker.
      if (signal.aborted || now - heardAt > sessionTimeoutMs) return ws.terminate();
      if (calm.aborted || now < ends.atMs || how === 'left') return;
      if (ends.by < 0.6) {
        count(this.outcomes, 'died');
        return ws.terminate();
      }
      how = 'left';
      log.endAll(this.memberId, 'left');
      if (ends.by < 0.8 && ws.readyState === ws.OPEN) ws.send('{"type":"leave"}');
      else ws.close(1000);
    }, 50);
    await closed;
    clearInterval(watch);
    log.endAll(this.memberId, how);
  }

  /** The next offset to commit of each partition. */
  readonly #dealtWith = new Map<number, number>();
  readonly #revoking = new Set<number>();
  #frames = 0;

  #take(ws: WebSocket, frame: GroupServerFrame): void {
    const { log } = this.in;
    const { memberId } = this;
    const listed = (lists: { partitions: number[] }[]) => lists.flatMap(({ partitions }) => partitions);
    const isOpen = ws.readyState === ws.OPEN;
    count(this.outcomes, frame.type);
    switch (frame.type) {
      case 'joined':
        this.#dealtWith.clear();
        this.#revoking.clear();
        for (const partition of listed(frame.assignment)) log.begin(memberId, partition);
        if (isOpen) ws.send(JSON.stringify({ type: 'credit', records: window }));
        return;
      case 'assigned':
        for (const partition of listed(frame.partitions)) {
          this.#revoking.delete(partition);
          log.begin(memberId, partition);
        }
        return;
      case 'revoking':
        for (const partition of listed(frame.partitions)) {
          this.#revoking.add(partition);
          log.end(memberId, partition, 'released');
        }
        this.#commit(ws);
        if (isOpen) {
          const { partitions, memberEpoch } = frame;
          ws.send(JSON.stringify({ type: 'released', partitions, memberEpoch }));
        }
        return;
      case 'revoked':
        for (const partition of listed(frame.partitions)) {
          this.#dealtWith.delete(partition);
          log.end(memberId, partition, 'released');
        }
        return;
      case 'records': {
        const { partition, records, nextOffset } = frame;
        if (this.#revoking.has(partition)) this.problems.push(`${memberId} was given records of ${partition}, revoked`);
        // A member that released everything to leave may still receive records that were in flight.
        if (!log.isHeld(memberId, partition)) return;
        log.give(
          memberId,
          partition,
          records.map(({ offset }) => offset),
        );
        this.#dealtWith.set(partition, nextOffset);
        this.#frames += 1;
        if (this.#frames % 3 === 0) this.#commit(ws);
        if (isOpen) ws.send(JSON.stringify({ type: 'credit', records: records.length }));
        return;
      }
      case 'error':
        count(this.outcomes, frame.code);
        this.judge(frame.code, frame);
    }
  }

  #commit(ws: WebSocket): void {
    if (ws.readyState !== ws.OPEN || this.#dealtWith.size === 0) return;
    const { topic } = this.in;
    const offsets = [...this.#dealtWith].map(([partition, offset]) => ({ topic, partition, offset }));
    ws.send(JSON.stringify({ type: 'commit', offsets }));
    this.#dealtWith.clear();
  }
}
