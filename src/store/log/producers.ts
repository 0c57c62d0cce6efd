// The registry of named producers: typed calls of lua/producers. Each log has its own record of the producers that write to it
// (store/log/logs.ts); docs/adr/007 says how the two work together.
import { randomBytes } from 'node:crypto';
import type { Actor } from '../../core/actor.ts';
import { type IdempotencyKey, idempotencyArguments } from '../idempotency.ts';
import type { CoordinationKeys } from '../keys.ts';
import type { PlaceByTime } from '../place-by-time.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { integer, type ReplyValue, text } from '../scripts.ts';

/** The identification that a named producer puts on each request. */
export interface ProducerSequence {
  id: string;
  epoch: number;
  /** Grows by one with each request to a topic, from 0 in each epoch. */
  sequence: number;
}

/** The log of a partition. */
export interface LogId {
  topicId: string;
  partition: number;
}

interface RegisteredProducer {
  id: string;
  epoch: number;
  /** To which it belongs; undefined if it was registered without access control. */
  identity: string | undefined;
  /** The logs that may have the producer: each must get the new epoch (Logs.fenceProducer). */
  logs: LogId[];
  /** Whether this is the stored response of an earlier request with the same Idempotency-Key. */
  replayed: boolean;
}

interface ListedProducer {
  id: string;
  name: string;
  /** The newest. */
  epoch: number;
  /** When the registry last recorded a use of it, ms. */
  usedAt: number;
}

interface ProducersPage {
  producers: ListedProducer[];
  /** After which the next page begins, if there is one. */
  next: PlaceByTime | undefined;
}

export interface DueProducer {
  id: string;
  /** When the registry last recorded a use of it, ms. */
  lastUsedAt: number;
  logs: LogId[];
}

export class Producers {
  readonly #connection: StoreConnection;
  readonly #root: string;
  readonly #responseLimits: string;
  readonly #producersMax: number;

  constructor(
    connection: StoreConnection,
    keys: CoordinationKeys,
    options: { responseLimits: string; producersMax: number },
  ) {
    this.#connection = connection;
    this.#root = keys.root;
    this.#responseLimits = options.responseLimits;
    this.#producersMax = options.producersMax;
  }

  /** Gives a producer its next epoch; 0 if the name is new. @throws ServiceError FORBIDDEN, IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS */
  async register(name: string, actor: Actor, idempotency?: IdempotencyKey): Promise<RegisteredProducer> {
    const [replayed, id, epoch, owner, logs] = await this.#connection.call('producers/register', this.#root, [
      name,
      randomBytes(9).toString('base64url'),
      ...idempotencyArguments(idempotency),
      this.#responseLimits,
      this.#producersMax,
      actor.identity ?? '',
      actor.actsAs ?? '',
    ]);
    return {
      replayed: integer(replayed) === 1,
      id: text(id),
      epoch: integer(epoch),
      identity: text(owner) || undefined,
      logs: decodeLogIds(logs),
    };
  }

  /**
   * Records that a log is about to get a producer, so that a later epoch reaches this log, too.
   * @returns the identity to which the producer belongs
   * @throws ServiceError FORBIDDEN, UNKNOWN_PRODUCER, PRODUCER_FENCED (field `epoch`)
   */
  async registerLog(
    { id, epoch, actsAs }: ProducerSequence & Pick<Actor, 'actsAs'>,
    log: LogId,
  ): Promise<string | undefined> {
    const args = [id, epoch, encodeLogId(log), actsAs ?? ''];
    const [owner] = await this.#connection.call('producers/join', this.#root, args);
    return text(owner) || undefined;
  }

  /**
   * A page of the producers, those whose recorded use is the longest ago at first. One that is used between two pages may be in both.
   * @param after the `next` of the page before; undefined for the first one
   */
  async list(after: PlaceByTime | undefined, limit: number): Promise<ProducersPage> {
    const args = [after?.time ?? '', after?.id ?? '', limit];
    const [more, ...rest] = await this.#connection.call('producers/list', this.#root, args);
    const producers: ListedProducer[] = [];
    for (let i = 0; i + 3 < rest.length; i += 4) {
      producers.push({
        id: text(rest[i]),
        name: text(rest[i + 2]),
        epoch: integer(rest[i + 3]),
        usedAt: integer(rest[i + 1]),
      });
    }
    const last = producers.at(-1);
    return { producers, next: text(more) === '1' && last ? { time: last.usedAt, id: last.id } : undefined };
  }

  /** Claims some producers that the registry has no use of for `idleMs`. @returns them, and how many producers there are in all */
  async claimDue(idleMs: number, limit: number): Promise<{ producers: DueProducer[]; total: number }> {
    const [total, ...found] = await this.#connection.call('producers/claim-due', this.#root, [idleMs, limit]);
    const producers = (found as ReplyValue[][]).map(([id, lastUsedAt, logs]) => ({
      id: text(id),
      lastUsedAt: integer(lastUsedAt),
      logs: decodeLogIds(logs),
    }));
    return { producers, total: integer(total) };
  }

  /**
   * Records what the logs of an idle producer report, unless it was used since it was claimed.
   * @param usedAt when a log last used it, ms; undefined = no log has it any more
   * @param gone the logs that no longer have it
   * @returns whether the producer was deleted
   */
  async updateDue(
    { id, lastUsedAt }: DueProducer,
    usedAt: number | undefined,
    gone: readonly LogId[],
  ): Promise<boolean> {
    const args = [id, lastUsedAt, usedAt ?? 0, ...gone.map(encodeLogId)];
    const [ended] = await this.#connection.call('producers/update-due', this.#root, args);
    return integer(ended) === 1;
  }
}

function encodeLogId({ topicId, partition }: LogId): string {
  return `${topicId}:${partition}`;
}

function decodeLogIds(names: ReplyValue | undefined): LogId[] {
  return (names as ReplyValue[]).map((name) => {
    const [topicId = '', partition] = text(name).split(':');
    return { topicId, partition: Number(partition) };
  });
}
