// Members on sockets in the simulation of group-world.ts. A connection acts for its member until there is a newer one, like
// src/broker/groups/stream/group-stream.ts and with the same StreamPartitions. Its frames arrive late but in order, and it may be
// cut without either end noticing.

import { cursorsOf, partitionsOf } from '../../src/broker/groups/member-cursors.ts';
import { type StreamCursor, StreamPartitions } from '../../src/broker/groups/stream/stream-partitions.ts';
import type { TopicPartitions } from '../../src/core/groups/assignors/assignor.ts';
import { eachPartition, type TopicPartition } from '../../src/core/groups/group-document.ts';
import { hasCode, ServiceError } from '../../src/core/service-error.ts';
import { request } from './group-documents.ts';
import {
  type Clock,
  type Faults,
  heartbeatMs,
  keyOf,
  type LivingClient,
  type MemberResult,
  rebalanceTimeoutMs,
  type Service,
  sessionTimeoutMs,
} from './group-world.ts';
import type { Random } from './random.ts';

type Frame =
  | { type: 'assigned' | 'revoking' | 'revoked'; partitions: StreamCursor[]; memberEpoch: number }
  | { type: 'closed' };

interface Parts {
  clock: Clock;
  service: Service;
  random: Random;
  faults: Faults;
}

/** The broker's side of a socket. */
class Connection {
  readonly call: number;
  epoch = 0;
  readonly #holdings = new StreamPartitions();
  readonly #memberId: string;
  readonly #parts: Parts;
  readonly #send: (frame: Frame) => void;
  /** Whether the client replies to pings. */
  readonly #isHeard: () => boolean;
  #isOpen = true;
  #isAsking = false;
  #mustReport = false;
  #renews = false;

  constructor(
    as: { memberId: string; joined: MemberResult },
    parts: Parts,
    peer: { send(frame: Frame): void; isHeard(): boolean },
  ) {
    this.call = as.joined.call;
    this.#memberId = as.memberId;
    this.#parts = parts;
    this.#send = peer.send;
    this.#isHeard = peer.isHeard;
    parts.service.watch(() => this.#report());
    this.#take(as.joined);
    if (as.joined.member.pendingRevocation.length > 0) this.#report();
    this.#tick();
  }

  /** The client has released the partitions that were revoked at that epoch. */
  released(partitions: TopicPartitions[], memberEpoch: number): void {
    // One frame per partition: a frame is refused as a whole if one of its partitions was deleted with its topic.
    for (const at of eachPartition(partitions)) {
      try {
        this.#holdings.release(
          { partitions: [{ topic: at.topic, partitions: [at.partition] }], memberEpoch },
          this.epoch,
        );
      } catch (error) {
        if (!hasCode(error, 'BAD_REQUEST')) throw error;
      }
    }
    this.#report();
  }

  leave(): void {
    const { memberId, call } = { memberId: this.#memberId, call: this.call };
    this.#parts.service.ask(
      () => ({ kind: 'leave', memberId, isTemporary: false, callEpoch: call }),
      () => this.close(),
    );
  }

  close(): void {
    if (this.#isOpen) this.#send({ type: 'closed' });
    this.#isOpen = false;
  }

  #tick(): void {
    if (!this.#isOpen) return;
    if (this.#isHeard()) {
      this.#renews = true;
      this.#report();
    }
    this.#parts.clock.after(heartbeatMs, () => this.#tick());
  }

  /** Reports the partitions that the peer may still be using, and sends it the changes that result. */
  #report(): void {
    if (!this.#isOpen) return;
    this.#mustReport = true;
    if (this.#isAsking) return;
    const renews = this.#renews;
    this.#mustReport = false;
    this.#renews = false;
    this.#isAsking = true;
    const { memberId, call } = { memberId: this.#memberId, call: this.call };
    this.#parts.service.ask(
      () => ({ kind: 'consume', memberId, owned: this.#holdings.owned(), callEpoch: call }),
      (response) => {
        this.#isAsking = false;
        if (response instanceof ServiceError) this.close();
        else this.#take(response);
        if (this.#mustReport || this.#renews) this.#report();
      },
      renews,
    );
  }

  #take({ member }: MemberResult): void {
    if (!this.#isOpen) return;
    this.epoch = member.memberEpoch;
    const { valid, added } = cursorsOf(this.#parts.service.group, member, this.#holdings.cursors);
    const { assigned, revoking, revoked } = this.#holdings.apply(member, valid, added);
    const { memberEpoch } = member;
    this.#send({ type: 'revoking', partitions: revoking, memberEpoch });
    this.#send({ type: 'revoked', partitions: revoked, memberEpoch });
    this.#send({ type: 'assigned', partitions: assigned, memberEpoch });
  }
}

interface Link {
  isUp: boolean;
  lastAt: number;
  connection: Connection | undefined;
}

/** One process of an application with a socket. If it loses the socket, it releases all partitions and opens another. */
export class SocketClient implements LivingClient {
  readonly memberId: string;
  readonly instanceId = undefined;
  isDead = false;
  topics: string[];
  readonly uses = new Map<string, TopicPartition>();
  readonly #parts: Parts;
  /** Frames in flight arrive only while the socket is connected. */
  #link: Link | undefined;
  #stalledUntil = 0;
  #offset = 0;

  constructor(as: { memberId: string; topics: string[] }, parts: Parts) {
    this.memberId = as.memberId;
    this.topics = as.topics;
    this.#parts = parts;
    this.#connect();
    this.#look();
  }

  die(): void {
    this.isDead = true;
    this.uses.clear();
    this.#cut();
  }

  /** Makes the process hang, or cuts its socket; neither end notices that at once. */
  stall(forMs: number): void {
    if (this.#parts.random.chance(0.5)) this.#stalledUntil = this.#parts.clock.now + forMs;
    else this.#cut();
  }

  leave(): void {
    this.uses.clear();
    this.#later(() => this.#link?.connection?.leave());
    this.isDead = true;
  }

  /** Opens another socket for another subscription. The old one leaves, or is just dropped, and its frames may arrive late. */
  subscribe(topics: string[]): void {
    this.topics = topics;
    const { connection } = this.#link ?? {};
    if (connection && this.#parts.random.chance(0.5)) this.#later(() => connection.leave());
    this.#connect();
  }

  lose(isGone: (at: TopicPartition) => boolean): void {
    for (const [key, at] of this.uses) if (isGone(at)) this.uses.delete(key);
  }

  commitAll(): void {
    const { connection, isUp } = this.#link ?? {};
    if (!connection || !isUp || !this.#speaks(connection)) return;
    for (const at of this.uses.values()) {
      this.#offset += 1;
      try {
        this.#parts.service.commit(this.memberId, connection.epoch, at, this.#offset);
      } catch (error) {
        if (!(error instanceof ServiceError)) throw error;
      }
    }
  }

  /** If it uses a partition that it does not have, it cannot commit: its socket is cut, or another one acts for the member. */
  fenceProblem(): string | undefined {
    const { connection, isUp } = this.#link ?? {};
    return connection && isUp && this.#speaks(connection) ? 'its socket speaks for the member' : undefined;
  }

  #speaks({ call }: Connection): boolean {
    return this.#parts.service.calls.get(this.memberId) === call;
  }

  #cut(): void {
    if (this.#link) this.#link.isUp = false;
  }

  /** Opens another socket after it has noticed the loss of its socket. */
  #look(): void {
    if (this.isDead) return;
    const { clock, random } = this.#parts;
    if (!this.#link?.isUp && clock.now >= this.#stalledUntil) this.#connect();
    clock.after(random.below(2 * heartbeatMs), () => this.#look());
  }

  #connect(): void {
    if (this.isDead) return;
    const { service, random, faults } = this.#parts;
    this.uses.clear();
    this.#cut();
    const link: Link = { isUp: true, lastAt: 0, connection: undefined };
    this.#link = link;
    const { memberId, topics } = this;
    const join = request(memberId, { topics }, { sessionTimeoutMs, rebalanceTimeoutMs });
    const fail = () => {
      link.isUp = false;
    };
    if (random.chance(faults.lost)) {
      fail();
      return;
    }
    this.#later(() =>
      service.ask(
        () => ({ kind: 'join', request: join }),
        (response) => {
          if (response instanceof ServiceError) {
            fail();
            return;
          }
          // The member exists although its client may be gone; then it sends nothing, and its session expires.
          link.connection = new Connection({ memberId, joined: response }, this.#parts, {
            send: (frame) => this.#toClient(link, frame),
            isHeard: () => link.isUp && !this.isDead && this.#parts.clock.now >= this.#stalledUntil,
          });
        },
      ),
    );
  }

  /** Sends a frame, which arrives after all frames sent before it. */
  #toClient(link: Link, frame: Frame): void {
    const { clock, random, faults } = this.#parts;
    link.lastAt = Math.max(link.lastAt, clock.now + random.below(faults.delayMs));
    clock.after(link.lastAt - clock.now, () => {
      if (link.isUp && link === this.#link && !this.isDead) this.#hear(link, frame);
    });
  }

  #hear(link: Link, frame: Frame): void {
    if (frame.type === 'closed') {
      link.isUp = false;
      this.uses.clear();
      return;
    }
    const { clock, random } = this.#parts;
    const keys = frame.partitions.map(keyOf);
    if (frame.type === 'revoked') for (const key of keys) this.uses.delete(key);
    if (frame.type === 'assigned') {
      for (const { topic, partition, topicId } of frame.partitions) {
        // No client can use partitions deleted while the frame was sent.
        const info = this.#parts.service.view.get(topic);
        if (info?.topicId !== topicId || partition >= info.partitionCount) continue;
        this.uses.set(keyOf({ topic, partition }), { topic, partition });
      }
    }
    if (frame.type !== 'revoking' || keys.length === 0) return;
    const had = keys.map((key) => [key, this.uses.get(key)] as const);
    const waitMs = Math.max(this.#stalledUntil - clock.now, 0) + random.below(500);
    clock.after(waitMs, () => {
      if (!link.isUp || link !== this.#link) return;
      // Not for partitions that it got again meanwhile, as they belong to another topic of the same name.
      for (const [key, at] of had) if (this.uses.get(key) === at) this.uses.delete(key);
      this.#later(() => link.connection?.released(partitionsOf(frame.partitions), frame.memberEpoch));
    });
  }

  #later(run: () => void): void {
    this.#parts.clock.after(this.#parts.random.below(this.#parts.faults.delayMs), run);
  }
}
