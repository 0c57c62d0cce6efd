// Lives of a group in virtual time, each determined by its seed: clients join, stall, crash, leave and return, messages are
// late, lost and doubled, topics change; guarantee R1 is judged after everything that happens, and in the end all settles.
import t from 'tap';
import { getOwn, memberOf, type TopicPartition } from '../../../src/core/groups/group-document.ts';
import { assignmentOf, groupStateName } from '../../../src/core/groups/member-reconciliation.ts';
import { topicsViewOf } from '../../helpers/group-documents.ts';
import { SocketClient } from '../../helpers/group-served.ts';
import { Client, Clock, type Faults, type LivingClient, Service, sessionTimeoutMs } from '../../helpers/group-world.ts';
import { chooseSeed, type Random, randomOf } from '../../helpers/random.ts';

/** WEIR_MODEL_RUNS=10000 searches for longer. */
const runs = Math.ceil(Number(process.env.WEIR_MODEL_RUNS ?? 1000) / 12);
const troubleMs = 40_000;
const calmMs = 40_000;

class Life {
  readonly clock = new Clock();
  readonly service: Service;
  readonly clients: LivingClient[] = [];
  readonly #random: Random;
  readonly #faults: Faults = { lost: 0.1, twice: 0.1, delayMs: 700 };
  #names = 0;
  /** A topic that is made anew has an id that none had before it. */
  #topicsMade = 0;

  constructor(random: Random) {
    this.#random = random;
    this.service = new Service(this.clock, random);
  }

  run(): void {
    const check = () => this.#check();
    const trouble = () => {
      if (this.clock.now >= troubleMs) return;
      this.#happen();
      this.clock.after(this.#random.below(2500), trouble);
    };
    trouble();
    this.clock.runUntil(troubleMs, check);
    Object.assign(this.#faults, { lost: 0, twice: 0, delayMs: 20 });
    if (!this.clients.some(({ isDead }) => !isDead)) this.#start();
    this.clock.runUntil(troubleMs + calmMs, check);
    this.#checkSettled();
  }

  #start(instanceId?: string): void {
    const topics = this.#random.pick([['t1'], ['t2'], ['t1', 't2'], ['t1', 't2', 'later']]);
    const as = { memberId: `m${this.#names++}`, topics, ...(instanceId !== undefined && { instanceId }) };
    const parts = { clock: this.clock, service: this.service, random: this.#random, faults: this.#faults };
    // Half of those that are not static are on sockets.
    const isServed = instanceId === undefined && this.#random.chance(0.5);
    this.clients.push(isServed ? new SocketClient(as, parts) : new Client(as, parts));
  }

  #happen(): void {
    const random = this.#random;
    const living = this.clients.filter(({ isDead }) => !isDead);
    const one = living.length > 0 ? random.pick(living) : undefined;
    const what = random.below(12);
    if (!one || (what <= 2 && living.length < 6)) this.#start(random.chance(0.4) ? `i${random.below(3)}` : undefined);
    else if (what === 3) one.die();
    else if (what === 4) one.leave(false);
    else if (what === 5) one.stall(random.below(3 * sessionTimeoutMs));
    else if (what === 6) one.subscribe(random.pick([['t1'], ['t1', 't2'], ['later']]));
    else if (what === 7) this.#restart(one);
    else if (what === 8) this.#changeTopics();
    else for (const client of living) client.commitAll();
  }

  /** A static member comes back under another id: after a word of leave, after a crash, or while the old one still runs. */
  #restart(one: LivingClient): void {
    if (one.instanceId === undefined) return;
    if (this.#random.chance(0.5)) one.leave(true);
    else if (this.#random.chance(0.7)) one.die();
    this.#start(one.instanceId);
  }

  #changeTopics(): void {
    const { below, chance } = this.#random;
    const counts = { t1: 1 + below(4), ...(chance(0.8) && { t2: 1 + below(3) }), ...(chance(0.5) && { later: 1 }) };
    const before = this.service.view;
    // A topic never has fewer partitions than before: it is another one.
    const isNew = (topic: string, count: number) =>
      (before.get(topic)?.partitionCount ?? Infinity) > count || (topic === 't1' && chance(0.5));
    const idOf = (topic: string, count: number) =>
      isNew(topic, count) ? `${topic}-${++this.#topicsMade}` : before.get(topic)!.topicId;
    const ids = Object.entries(counts).map(([topic, count]) => [topic, idOf(topic, count)]);
    this.service.setTopics(topicsViewOf(counts, Object.fromEntries(ids)));
    const isGone = ({ topic, partition }: TopicPartition) => {
      const now = this.service.view.get(topic);
      return now?.topicId !== before.get(topic)?.topicId || partition >= (now?.partitionCount ?? 0);
    };
    for (const client of this.clients) client.lose(isGone);
  }

  /** No partition has two holders; the owners are theirs; and who uses what is not its own cannot commit for it. */
  #check(): void {
    const { group, owners } = this.service;
    const holders = new Map<string, string>();
    for (const { memberId, assigned, pendingRevocation } of Object.values(group.members)) {
      for (const { topic, partitions } of [...assigned, ...pendingRevocation]) {
        for (const partition of partitions) {
          const key = `${topic} ${partition}`;
          if (holders.has(key)) throw new Error(`${key} is held by ${holders.get(key)} and ${memberId}`);
          holders.set(key, memberId);
          if (owners.get(key) !== memberId) throw new Error(`${key} is ${memberId}'s and its owner ${owners.get(key)}`);
        }
      }
    }
    if (owners.size !== holders.size) throw new Error('There are owners of what nobody has');
    for (const client of this.clients) {
      for (const [key, at] of client.uses) {
        const isGone = at.partition >= (getOwn(group.topics, at.topic)?.partitionCount ?? 0);
        if (holders.get(key) === client.memberId || isGone) continue;
        const problem = client.fenceProblem(at);
        if (problem) throw new Error(`${client.memberId} uses ${key} of ${holders.get(key)}: ${problem}`);
      }
    }
    if (group.targetEpoch !== group.groupEpoch) throw new Error('The target lags behind');
  }

  #checkSettled(): void {
    const { group } = this.service;
    // Of clients with one instance id the last one fences the others; it may have been the last of all.
    if (!['stable', 'empty'].includes(groupStateName(group)))
      throw new Error(`It does not settle: ${JSON.stringify(group)}`);
    const living = this.clients.filter(({ isDead }) => !isDead);
    if (living.length !== Object.keys(group.members).length) throw new Error('Members and living clients differ');
    const used = new Set<string>();
    for (const client of living) {
      const assigned = assignmentOf(memberOf(group, client.memberId));
      const shown = JSON.stringify(getOwn(group.target, client.memberId));
      if (JSON.stringify(assigned) !== shown) throw new Error(`${client.memberId} has not what it shall have`);
      const keys = assigned.flatMap(({ topic, partitions }) => partitions.map((partition) => `${topic} ${partition}`));
      if (keys.length !== client.uses.size || keys.some((key) => !client.uses.has(key))) {
        throw new Error(`${client.memberId} uses ${[...client.uses.keys()]}, and has ${keys}`);
      }
      for (const key of keys) used.add(key);
    }
    for (const [topic, { partitionCount }] of Object.entries(group.topics)) {
      for (let p = 0; p < partitionCount; p += 1)
        if (!used.has(`${topic} ${p}`)) throw new Error(`Nobody has ${topic} ${p}`);
    }
  }
}

t.test(
  'whatever happens to members and messages, no partition has two owners, and the group becomes stable',
  async (t) => {
    const first = chooseSeed();
    let members = 0;
    for (let seed = first; seed < first + runs; seed += 1) {
      const life = new Life(randomOf(seed));
      try {
        life.run();
      } catch (error) {
        t.fail(`WEIR_TEST_SEED=${seed} WEIR_MODEL_RUNS=1: ${(error as Error).message}`);
        return;
      }
      members += life.clients.length;
    }
    t.ok(members > runs, `${runs} lives of ${members} members, from seed ${first}`);
  },
);
