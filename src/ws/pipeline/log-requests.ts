// Carries out the requests on logs and groups: produce, fetch, offsets and commit.
import { createHash } from 'node:crypto';
import type { SocketRequest } from '../../../schemas/socket.ts';
import { ownKey } from '../../access/own-key.ts';
import type { Broker } from '../../broker/broker.ts';
import { offsetsOf } from '../../broker/log/log-writer.ts';
import { asBatches, asRecords, type FetchedContent, type ReadForm } from '../../broker/log/read-forms.ts';
import { topicOffsets } from '../../broker/log/topic-offsets.ts';
import type { Actor } from '../../core/actor.ts';
import type { RequestRecords } from '../../core/records/record-input.ts';
import { linesOf } from '../../core/records/simple-records.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import { hashMemberSecret } from '../../store/groups/member-secret.ts';
import { parseFence } from '../../store/log/fence-text.ts';
import type { DeduplicationKey } from '../../store/log/logs.ts';
import type { Origin } from '../../store/origin.ts';
import type { PendingRequest } from './pending-request.ts';
import { headOf, type ResponseMarks } from './response-json.ts';

export type LogBroker = Pick<Broker, 'topics' | 'topicAdmin' | 'logWriter' | 'logReader' | 'groupOffsets'> & {
  store: Pick<Broker['store'], 'logs'>;
};

/** The member of a group that commits. */
export interface CommittingMember {
  group: string;
  memberId: string;
  secret: string | undefined;
}

/** The socket of a request on a log or group. */
export interface LogSender extends Origin {
  /** Who sends it. */
  readonly access: Actor;
  /** Aborted when the socket is closed or the server stops: no request waits any more. */
  readonly stopped: AbortSignal;
  succeed(pending: PendingRequest, ok: string, marks: ResponseMarks): void;
  /** @param response the whole response, as JSON */
  respond(pending: PendingRequest, response: Buffer): void;
  fail(pending: PendingRequest, error: unknown): void;
  /** Runs a small commit of a member in the reserved capacity. */
  commitReserved<T>(member: CommittingMember, work: () => Promise<T>): Promise<T>;
  /** Checks again whether the client may make a request that has waited. @throws ServiceError FORBIDDEN, AUTH_REQUIRED */
  requireStill(request: LogRequest): void;
  /** Gives back the permit of a request that begins to wait. */
  waits(pending: PendingRequest): void;
}

type LogRequest = SocketRequest<'produce' | 'fetch' | 'offsets' | 'commit'>;

export class LogRequests {
  readonly #broker: LogBroker;

  constructor(broker: LogBroker) {
    this.#broker = broker;
  }

  /** Whether records for the topic can be appended without looking it up first. */
  isKnown(topic: string): boolean {
    return this.#broker.topics.known(topic) !== undefined;
  }

  carryOut(pending: PendingRequest, request: LogRequest, sender: LogSender): void {
    this.#work(pending, request, sender).catch((error: unknown) => sender.fail(pending, error));
  }

  /** Records for a known topic are submitted before this returns: the writer keeps the order of a sender. */
  #work(pending: PendingRequest, request: LogRequest, sender: LogSender): Promise<void> {
    switch (request.op) {
      case 'produce':
        return this.#produce(pending, request, sender);
      case 'fetch':
        return this.#fetch(pending, request, sender);
      case 'offsets':
        return this.#offsets(pending, request, sender);
      case 'commit':
        return this.#commit(pending, request, sender);
    }
  }

  async #produce(pending: PendingRequest, request: SocketRequest<'produce'>, sender: LogSender): Promise<void> {
    const { topics, topicAdmin, logWriter } = this.#broker;
    const { topic, partition, acks, offsets = false } = request;
    const { records } = pending;
    if (!records) throw new Error('A produce has no records');
    const fence = request.fence === undefined ? undefined : parseFence(request.fence, 'produce.fence');
    const deduplicationKey = deduplicationKeyOf(request, records, sender.access);
    const known = topics.known(topic) ?? (await this.#lookUp(topic)) ?? (await topicAdmin.getOrCreate(topic));
    const produced = await logWriter.produce(
      { topic, partition, acks, fence, deduplicationKey, records, origin: sender },
      known,
    );
    const ok = { topic, results: produced.results, ...(offsets && { offsets: offsetsOf(produced) }) };
    sender.succeed(pending, JSON.stringify(ok), { replayed: produced.replayed });
  }

  #lookUp(topic: string) {
    return this.#broker.topics.get(topic).catch((error: unknown) => {
      if (hasCode(error, 'UNKNOWN_TOPIC')) return undefined;
      throw error;
    });
  }

  async #fetch(pending: PendingRequest, request: SocketRequest<'fetch'>, sender: LogSender): Promise<void> {
    const { topics, logReader } = this.#broker;
    const { topic: name, partition, offset, timestamp, maxRecords, maxBytes, minBytes, wait: waitMs, format } = request;
    if (offset !== undefined && timestamp !== undefined) {
      throw new ServiceError('BAD_REQUEST', 'fetch: give offset or timestamp, not both.');
    }
    let hasWaited = false;
    const onWait = () => {
      hasWaited = true;
      sender.waits(pending);
    };
    const form: ReadForm<FetchedContent> = format === 'batches' ? asBatches : asRecords;
    const { records, nextOffset, logStartOffset, endOffset } = await topics.withTopic(name, async (topic) => {
      const from =
        timestamp === undefined
          ? (offset ?? 'earliest')
          : (await logReader.offsetAt(topic, partition, timestamp)).offset;
      const wanted = { topic, partition, offset: from, maxRecords, maxBytes };
      return logReader.fetchWhenReady(wanted, form, { minBytes, waitMs, signal: sender.stopped, onWait });
    });
    if (hasWaited) sender.requireStill(request);
    const head = `${headOf(pending.id)}"ok":{"topic":"${name}","partition":${partition},"${format}":[`;
    const tail = `],"nextOffset":${nextOffset},"logStartOffset":${logStartOffset},"endOffset":${endOffset}}}`;
    sender.respond(pending, records.enclosed(head, tail));
  }

  async #offsets(pending: PendingRequest, { topic, at }: SocketRequest<'offsets'>, sender: LogSender): Promise<void> {
    const { topics, logReader, store } = this.#broker;
    const ok = await topicOffsets({ topics, logReader, logs: store.logs }, topic, at);
    sender.succeed(pending, JSON.stringify(ok), {});
  }

  async #commit(pending: PendingRequest, request: SocketRequest<'commit'>, sender: LogSender): Promise<void> {
    const { group, memberId, memberEpoch, memberSecret, offsets } = request;
    if (memberId === undefined && (memberEpoch !== undefined || memberSecret !== undefined)) {
      throw new ServiceError(
        'BAD_REQUEST',
        `commit: ${memberEpoch === undefined ? 'memberSecret' : 'memberEpoch'} was sent without memberId. Send memberId, or leave it out.`,
      );
    }
    const credential = {
      secretHash: memberSecret === undefined ? undefined : hashMemberSecret(memberSecret),
      actsAs: sender.access.actsAs,
    };
    const by = memberId === undefined ? undefined : { memberId, memberEpoch, credential };
    const commit = () => this.#broker.groupOffsets.commit(group, by, offsets);
    const isReserved = pending.weight === 0 && memberId !== undefined;
    const { zxid } = await (isReserved
      ? sender.commitReserved({ group, memberId, secret: memberSecret }, commit)
      : commit());
    sender.succeed(pending, JSON.stringify({ offsets }), { zxid });
  }
}

/** What makes a repeat of a request safe. @throws ServiceError BAD_REQUEST if it names two ways */
function deduplicationKeyOf(
  { topic, partition, fence, idempotencyKey: key, producer }: SocketRequest<'produce'>,
  records: RequestRecords,
  { identity, actsAs }: Actor,
): DeduplicationKey | undefined {
  if (key === undefined) return producer && { kind: 'producer', ...producer, actsAs };
  if (producer) {
    throw new ServiceError(
      'BAD_REQUEST',
      'produce: give an idempotencyKey or a producer, not both: each makes a repeat safe.',
    );
  }
  const hash = createHash('sha256').update(JSON.stringify(['socket', topic, partition, fence]));
  // The same records have the same fingerprint, whatever stands beside them in the frame.
  if (records.kind === 'contiguous') {
    hash.update(records.lines);
  } else if (records.kind === 'positioned') {
    hash.update(linesOf(records).join('\n'), 'latin1');
  } else {
    hash.update(records.records.map(({ line }) => line).join('\n'), 'latin1');
    const partitions = records.records.map((record) => record.partition ?? null);
    if (partitions.some((one) => one !== null)) hash.update(JSON.stringify(partitions));
  }
  return { kind: 'key', key: ownKey(identity, key), fingerprint: hash.digest('base64url') };
}
