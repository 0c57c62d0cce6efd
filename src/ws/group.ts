// The WebSocket /v1/groups/{group}/stream: its client is a member of the group. It joins, gets and releases partitions, receives
// as many records as it has given credit for, and commits offsets.
import type { WebSocket } from '@fastify/websocket';
import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import type { z } from 'zod';
import {
  type GroupClientFrame,
  type GroupServerFrame,
  groupClientFrame,
  groupStreamQuery,
} from '../../schemas/group-stream.ts';
import { groupParams, offsetsPerCommitMax } from '../../schemas/groups.ts';
import { requireTopics } from '../access/topic-rights.ts';
import type { Broker } from '../broker/broker.ts';
import { joinOf } from '../broker/groups/join-request.ts';
import { cursorKey } from '../broker/groups/member-cursors.ts';
import type { OffsetToCommit } from '../broker/groups/offsets/group-offsets.ts';
import type { GroupStream, GroupStreamSink } from '../broker/groups/stream/group-stream.ts';
import type { Config } from '../config/config.ts';
import { frameJson } from '../core/frame-json.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import { Credit } from './credit.ts';
import { groupFramesWaitingMax } from './limits.ts';
import type { Socket } from './socket.ts';
import type { Sockets } from './sockets.ts';

type RecordsFrame = Extract<GroupServerFrame, { type: 'records' }>;

/** What a group socket uses of the broker. */
type GroupBroker = Pick<Broker, 'groupStreams'> & { config: Pick<Config, 'sessionMinTtlMs'> };

interface Options {
  broker: GroupBroker;
  sockets: Sockets;
  /** Runs work of a live member with a permit of the reserved capacity. Waits until there is one, without a limit of time. */
  withPermit<T>(clientKey: string, work: () => Promise<T>): Promise<T>;
}

/** The parsed request. */
interface GroupSocketRequest {
  params: z.output<typeof groupParams>;
  query: z.output<typeof groupStreamQuery>;
}

interface Commit {
  offsets: readonly OffsetToCommit[];
  memberEpoch?: number | undefined;
}

interface WaitingCommit extends Commit {
  resolve(): void;
  reject(error: unknown): void;
}

/** Close codes of a client that will not reconnect. After any other code, or no close frame, it may reconnect. */
const closedForGood = new Set([1000, 1005]);

export const groupSockets: FastifyPluginAsyncZodOpenApi<Options> = async (app, { broker, sockets, withPermit }) => {
  app.route({
    method: 'GET',
    url: '/groups/:group/stream',
    exposeHeadRoute: false,
    config: { access: { verb: 'use', kind: 'groups', in: 'group' }, admission: 'work', timeLimit: 'none' },
    schema: {
      tags: ['groups'],
      operationId: 'groups.socket',
      summary:
        'Be a member of a group over a WebSocket; the client sends GroupClientFrame, the server sends GroupServerFrame',
      description:
        'If the connection is lost, the member stays in the group until its session timeout. A client that reconnects in time with the same memberId continues from the committed offsets, and no other member is affected. If the client closes the socket with code 1000 or without a code, the member leaves the group, unless it is a static member. A newer socket of the same member ends the older one with MEMBER_SUPERSEDED. On an error the server sends an error frame and closes with 4000 + the HTTP status of the error.',
      params: groupParams,
      querystring: groupStreamQuery,
      response: { 101: { description: 'The connection is upgraded to a WebSocket.' } },
    } satisfies FastifyZodOpenApiSchema,
    handler: () => {
      throw new ServiceError(
        'BAD_REQUEST',
        'This route is a WebSocket, and the request has no Upgrade header. Connect with ws:// or wss://; if you did, a proxy has removed the header. To join without a WebSocket, use POST /v1/groups/{group}/members.',
      );
    },
    wsHandler: (ws, request) =>
      void new GroupSocket(ws, request, sockets, (work) => withPermit(request.clientKey, work)).run(
        request as unknown as GroupSocketRequest,
        broker,
      ),
  });
};

type RunWithPermit = <T>(work: () => Promise<T>) => Promise<T>;

class GroupSocket {
  readonly #socket: Socket;
  readonly #request: FastifyRequest;
  /** The topics whose records it may be sent. */
  readonly #topicsRead = new Set<string>();
  readonly #withPermit: RunWithPermit;
  readonly #closed = new AbortController();
  #closeCode: number | undefined;
  #stream: GroupStream | undefined;
  readonly #credit: Credit;
  #isLeaving = false;
  /** Runs the work of frames one after the other, once the member has joined. */
  #queue: Promise<unknown>;
  #openQueue!: () => void;
  #queued = 0;
  /** The commits that wait in the queue as one transaction; later ones join them until it runs. */
  #commits: WaitingCommit[] | undefined;

  constructor(ws: WebSocket, request: FastifyRequest, sockets: Sockets, withPermit: RunWithPermit) {
    this.#withPermit = withPermit;
    this.#request = request;
    this.#queue = new Promise<void>((resolve) => {
      this.#openQueue = resolve;
    });
    this.#socket = sockets.accept(ws, request, {
      kind: 'group',
      allowsLists: true,
      schema: groupClientFrame,
      isLenient: () => true,
      onFrame: (frame) => this.#onFrame(frame),
      // Frames are queued here, and groupFramesWaitingMax limits the queue.
      framesInFlightMax: Number.POSITIVE_INFINITY,
      onPeerActivity: () => this.#stream?.notePong(),
      recheckAccess: () => {
        for (const topic of this.#topicsRead) request.require('read', 'topics', topic);
      },
      onClose: (code) => {
        this.#closeCode = code;
        this.#closed.abort();
        this.#credit?.wake();
      },
    });
    this.#credit = new Credit(this.#socket);
  }

  async run({ params, query }: GroupSocketRequest, broker: GroupBroker): Promise<void> {
    // A server that is stopping closes new sockets, so the member must not join.
    if (this.#closed.signal.aborted) return;
    try {
      requireTopics(this.#request, query);
      const join = joinOf(query, this.#request, broker.config.sessionMinTtlMs, this.#request.ip);
      const stream = await broker.groupStreams.open(params.group, join, this.#sink());
      this.#stream = stream;
      this.#send({ type: 'joined', ...stream.response });
      const { unknownTopics = [] } = stream.response;
      if (unknownTopics.length > 0) this.#send(unknownTopicsWarning(unknownTopics));
      this.#openQueue();
      await stream.run(this.#closed.signal);
    } catch (error) {
      if (this.#isLeaving || this.#closed.signal.aborted) return;
      this.#socket.fail(error);
    } finally {
      this.#openQueue();
      const isDone = !this.#isLeaving && this.#closeCode !== undefined && closedForGood.has(this.#closeCode);
      // A failed leave is ignored: the session of the member expires.
      if (isDone && this.#stream?.isStatic === false) this.#enqueue((stream) => stream.leave()).catch(() => undefined);
    }
  }

  async #onFrame(frame: GroupClientFrame): Promise<void> {
    this.#stream?.noteFrame();
    switch (frame.type) {
      case 'ping':
        return this.#send({ type: 'pong' });
      case 'credit':
        return this.#credit.add(frame.records);
      case 'commit':
        requireTopics(this.#request, { topics: [...new Set(frame.offsets.map(({ topic }) => topic))] });
        await this.#commit(frame);
        return this.#send({ type: 'committed', ...(frame.id !== undefined && { id: frame.id }) });
      case 'released':
        return this.#enqueue(async (stream) => stream.released(frame));
      case 'leave':
        return this.#enqueue(async (stream) => {
          this.#isLeaving = true;
          try {
            await stream.leave();
          } catch (error) {
            this.#isLeaving = false;
            throw error;
          }
          this.#socket.close(1000, 'LEFT');
        });
    }
  }

  /**
   * Commits offsets. Commits of the same epoch that wait in the queue become one transaction with the last offset of each
   * partition. Each commit gets its own response. If the transaction is refused, each commit is tried alone.
   * @throws ServiceError TOO_MANY_REQUESTS if the queue is full; otherwise as GroupStream.commit
   */
  async #commit({ offsets, memberEpoch }: Commit): Promise<void> {
    const waiting = this.#commits;
    const size = waiting?.reduce((sum, { offsets: some }) => sum + some.length, offsets.length) ?? 0;
    this.#checkWaiting(Math.max(this.#queued, waiting?.length ?? 0));
    if (waiting && waiting[0]?.memberEpoch === memberEpoch && size <= offsetsPerCommitMax) {
      return new Promise((resolve, reject) => waiting.push({ offsets, memberEpoch, resolve, reject }));
    }
    return new Promise((resolve, reject) => {
      const commits: WaitingCommit[] = [{ offsets, memberEpoch, resolve, reject }];
      this.#enqueue((stream) => {
        if (this.#commits === commits) this.#commits = undefined;
        return commitAll(stream, commits);
      }).catch(reject);
      this.#commits = commits;
    });
  }

  #checkWaiting(waiting: number): void {
    if (waiting < groupFramesWaitingMax) return;
    throw new ServiceError(
      'TOO_MANY_REQUESTS',
      `The frame was refused: ${groupFramesWaitingMax} frames of this socket wait for their response, which is the limit. Wait for responses before sending more.`,
    );
  }

  /** Runs `work` after the queued work before it. Does nothing if the member could not join. */
  async #enqueue(work: (stream: GroupStream) => Promise<void>): Promise<void> {
    this.#checkWaiting(this.#queued);
    this.#queued += 1;
    // Later commits must not run before this work.
    this.#commits = undefined;
    const mine = this.#queue.then(() => {
      const stream = this.#stream;
      return stream && this.#withPermit(() => work(stream));
    });
    this.#queue = mine.catch(() => undefined);
    try {
      await mine;
    } finally {
      this.#queued -= 1;
    }
  }

  #sink(): GroupStreamSink {
    return {
      mayRead: (topic) => {
        const may = this.#request.may('read', 'topics', topic);
        if (may) this.#topicsRead.add(topic);
        return may;
      },
      room: () => this.#credit.room(),
      credit: () => this.#credit.credit(),
      records: (topic, partition, records, count, nextOffset) => {
        this.#credit.take(count);
        this.#socket.send(
          frameJson<RecordsFrame, 'records'>({ type: 'records', topic, partition, nextOffset }, { records }),
        );
      },
      assigned: (partitions, memberEpoch) => this.#send({ type: 'assigned', partitions, memberEpoch }),
      revoking: (partitions, withinMs, memberEpoch) =>
        this.#send({ type: 'revoking', partitions, withinMs, memberEpoch }),
      revoked: (partitions, memberEpoch) => this.#send({ type: 'revoked', partitions, memberEpoch }),
      ping: () => this.#socket.ping(),
    };
  }

  #send(frame: GroupServerFrame): void {
    this.#socket.sendFrame(frame);
  }
}

function unknownTopicsWarning(unknownTopics: string[]): GroupServerFrame {
  const [first, ...rest] = unknownTopics;
  const what = rest.length === 0 ? `Topic ${first} does not exist` : `Topics ${unknownTopics.join(', ')} do not exist`;
  const detail = `${what}. The member gets the partitions once they are created; check the names if nobody is about to.`;
  return { type: 'warning', code: 'UNKNOWN_TOPIC', detail, unknownTopics };
}

/** Commits offsets of one epoch as one transaction. Never throws: it resolves or rejects each commit. */
async function commitAll(stream: GroupStream, commits: readonly WaitingCommit[]): Promise<void> {
  const memberEpoch = commits[0]?.memberEpoch;
  const last = new Map<string, OffsetToCommit>();
  for (const { offsets } of commits) for (const at of offsets) last.set(cursorKey(at), at);
  try {
    await stream.commit([...last.values()], memberEpoch);
    for (const { resolve } of commits) resolve();
    return;
  } catch (error) {
    if (commits.length === 1 || hasCode(error, 'STORE_UNAVAILABLE')) {
      for (const { reject } of commits) reject(error);
      return;
    }
  }
  for (const { offsets, resolve, reject } of commits) await stream.commit(offsets, memberEpoch).then(resolve, reject);
}
