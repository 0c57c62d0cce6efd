// One pipelined socket: reads frames, begins their requests in the order of their lanes, and sends the responses. When the fate of a
// request is unknown, nothing behind it is carried out, and the socket closes (guarantee S5).
import type { WebSocket } from '@fastify/websocket';
import type { FastifyRequest } from 'fastify';
import { type EventFrame, requestsPerFrameMax, socketCloseCodes } from '../../../schemas/socket.ts';
import { closeCodes } from '../../../schemas/watch.ts';
import type { ReadSource } from '../../broker/watches/local-nodes.ts';
import type { Actor } from '../../core/actor.ts';
import { ServiceError } from '../../core/service-error.ts';
import { readFrame } from '../../core/socket-frame.ts';
import type { WriteSequence } from '../../store/tree/namespace.ts';
import type { Socket } from '../socket.ts';
import { FrameIntake } from './frame-intake.ts';
import { InFlight } from './in-flight.ts';
import { Lanes } from './lanes.ts';
import type { CommittingMember, LogRequests, LogSender } from './log-requests.ts';
import {
  isLocalRead,
  type ParsedRequest,
  type PendingRequest,
  readRequest,
  releaseWhenSettled,
} from './pending-request.ts';
import { permitInTurn } from './permit-in-turn.ts';
import type { PipelineParts, SocketClient } from './pipeline-parts.ts';
import { PipelinedWatches } from './pipelined-watches.ts';
import { RateLimit } from './rate-limit.ts';
import { ReadBudget } from './read-budget.ts';
import { accessProblem, type RequestAccess } from './request-access.ts';
import { isFateUnknown, unknownFate } from './request-fate.ts';
import { errorResponse, okResponse, type ResponseMarks } from './response-json.ts';
import { ResponseWriter } from './response-writer.ts';
import { SocketSession } from './socket-session.ts';
import type { TreeRequests, TreeSender } from './tree-requests.ts';

export class PipelinedSocket implements TreeSender, LogSender {
  readonly #parts: PipelineParts;
  readonly access: RequestAccess & Actor & SocketClient;
  readonly #socket: Socket;
  readonly #session: SocketSession;
  readonly #watches: PipelinedWatches;
  readonly #inFlight: InFlight;
  readonly #writer: ResponseWriter;
  readonly #reads: ReadBudget;
  readonly #lanes: Lanes;
  readonly #intake: FrameIntake;
  #newestZxid = 0;
  #isStopping = false;
  #isWaitingForRoom = false;
  #leaveQueue: (() => void) | undefined;
  readonly #stopped = new AbortController();
  #isDead = false;

  constructor(ws: WebSocket, request: FastifyRequest, parts: PipelineParts) {
    const { broker, sockets, limits, frameBytes, permits, watchLimit, bookmarks } = parts;
    this.#parts = parts;
    this.access = request;
    this.#inFlight = new InFlight(limits, request.clientKey, frameBytes);
    this.#reads = new ReadBudget(limits.readBytesMax, parts.reads, () => {
      this.#lanes.reopen();
      parts.dispatcher.hasRequests(this);
    });
    this.#lanes = new Lanes(this.#reads);
    parts.metrics.add(this);
    bookmarks.add(this);
    this.#socket = sockets.acceptMessages(ws, request, {
      kind: 'pipeline',
      onMessage: (data, isBinary) => this.#intake.receive(data, isBinary),
      onPeerActivity: () => this.#session.noteActivity(),
      onStopping: () => this.#drain(),
      recheckAccess: () => this.#watches.recheck(),
      onClose: () => this.#end(),
    });
    this.#intake = new FrameIntake(this.#socket, {
      inFlight: this.#inFlight,
      read: (data, isBinary) => this.#read(data, isBinary),
      readInTurn: (bytes, run) => parts.turns.readFrame(request.clientKey, bytes, run),
      onPause: (isPaused) => parts.metrics.paused(this, isPaused),
      rate: new RateLimit(request, (frame) => this.#sendFrame(frame)),
      onRateFree: () => parts.dispatcher.hasResponses(this),
    });
    this.#session = new SocketSession(
      broker,
      {
        ping: () => this.#socket.ping(),
        isUnread: () => this.#intake.isDeaf,
        keepSession: (handle, work) => permits.keepSession(request, handle, work),
        expired: (id) => this.#sendFrame({ type: 'sessionExpired', id }),
        isClosed: () => !this.#socket.isOpen,
      },
      request,
      limits.tailLagMsMax,
    );
    this.#watches = new PipelinedWatches(this, {
      hub: broker.watches,
      connection: this.#socket,
      request,
      limit: watchLimit,
      ended: (watch, error) => this.#sendFrame({ ...this.#socket.problemOf(error).toProblem(), type: 'error', watch }),
    });
    this.#writer = new ResponseWriter(this.#socket, {
      hub: broker.watches,
      watches: this.#watches,
      tailLagMsMax: limits.tailLagMsMax,
      flushSoon: () => parts.dispatcher.hasResponses(this),
      tailLags: (zxid) => this.#tailLags(zxid),
    });
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  get session() {
    return this.#session.credential;
  }

  get newestZxid(): number {
    return this.#newestZxid;
  }

  get stopped(): AbortSignal {
    return this.#stopped.signal;
  }

  /** For metrics. */
  get requestsInFlight(): number {
    return this.#inFlight.requests;
  }

  get responsesHeld(): number {
    return this.#writer.held;
  }

  mayRead(path: string): boolean {
    return this.access.may('read', 'nodes', path);
  }

  sequenceOf(seq: number): WriteSequence {
    return this.#session.sequenceOf(seq);
  }

  sendBookmark(): void {
    const zxid = this.#watches.position;
    if (zxid !== undefined && this.#socket.hasRoom) this.#sendFrame({ type: 'bookmark', zxid });
  }

  /** Reads a frame. One that is no JSON closes the socket: its requests are unknown, and no response can be given to them. */
  #read(data: Buffer, isBinary: boolean): void {
    if (this.#isDead) return;
    this.#parts.metrics.frames.inc();
    try {
      if (isBinary) throw new ServiceError('BAD_REQUEST', 'The frame is binary; send a text frame with JSON.');
      for (const each of readFrame(data, requestsPerFrameMax)) this.#add(readRequest(each));
    } catch (error) {
      this.#closeWith(error);
    }
  }

  #add(pending: PendingRequest): void {
    const { dispatcher, logs, metrics } = this.#parts;
    const { request } = pending;
    // While a topic is looked up or created, later requests for it would overtake.
    if (pending.run === 'produce' && request?.op === 'produce' && !logs.isKnown(request.topic)) pending.run = 'alone';
    this.access.account?.useRequests(1);
    this.#lanes.add(pending);
    this.#inFlight.add(pending);
    metrics.arrived(pending);
    dispatcher.hasRequests(this);
  }

  get canBegin(): boolean {
    return !this.#isDead && !this.#leaveQueue && this.#writer.hasRoom && this.#lanes.canBegin;
  }

  beginSome(count: number): number {
    let total = 0;
    // What memory has lets those behind it begin.
    while (total < count && this.canBegin) {
      // An identity has at most its limit in flight while others wait, so it takes no more permits at once.
      const begun = this.#lanes.begin(Math.min(count - total, this.access.account?.inFlightMax ?? count));
      if (begun.length === 0) break;
      total += begun.length;
      const weighing: PendingRequest[] = [];
      let weight = 0;
      let bytes = 0;
      for (const pending of begun) {
        if (this.#isReadFromMemory(pending)) continue;
        weight += pending.weight;
        bytes += pending.bytes;
        if (pending.weight > 0) weighing.push(pending);
        else this.#carryOut(pending);
      }
      if (weighing.length > 0) this.#begin(weighing, weight, bytes);
    }
    return total;
  }

  /** Carries out a local read without a permit, if memory has the result: the store has no work with it. */
  #isReadFromMemory(pending: PendingRequest): boolean {
    const { request } = pending;
    if (!isLocalRead(request) || accessProblem(this.access, request)) return false;
    return this.#parts.tree.readFromMemory(pending, request, this);
  }

  /** Carries out requests with one permit, which is given back when all of them have their results. */
  #begin(requests: readonly PendingRequest[], weight: number, bytes: number): void {
    const work = { weight, requests: requests.length, bytes };
    const leave = permitInTurn(this.#parts, this.access.clientKey, work, (permit) => {
      this.#leaveQueue = undefined;
      releaseWhenSettled(permit, requests);
      for (const pending of requests) this.#carryOut(pending);
      this.#parts.dispatcher.hasRequests(this);
    });
    if (leave) this.#leaveQueue = leave;
  }

  #carryOut(pending: PendingRequest): void {
    const { request, problem } = pending;
    const { tree, logs } = this.#parts;
    try {
      const refusal = request ? accessProblem(this.access, request) : problem;
      if (refusal) tree.refuse(pending, refusal, this);
      else if (request) this.#carryOutOne(pending, request, tree, logs);
    } catch (error) {
      this.fail(pending, error);
    }
  }

  #carryOutOne(pending: PendingRequest, request: ParsedRequest, tree: TreeRequests, logs: LogRequests): void {
    switch (request.op) {
      case 'ping':
        this.succeed(pending, '{}', {});
        break;
      case 'watch':
        this.#watches.watch(pending, request);
        break;
      case 'unwatch':
        this.#watches.unwatch(request.watch);
        this.succeed(pending, '{}', {});
        break;
      case 'session':
        this.#session.carryOut(request).then(
          ({ ok, ...marks }) => this.succeed(pending, JSON.stringify(ok), marks),
          (error: unknown) => this.fail(pending, error),
        );
        break;
      case 'produce':
      case 'fetch':
      case 'offsets':
      case 'commit':
        logs.carryOut(pending, request, this);
        break;
      default:
        tree.carryOut(pending, request, this);
    }
  }

  succeed(pending: PendingRequest, ok: string, marks: ResponseMarks): void {
    this.#settle(pending, okResponse(pending.id, ok, marks), marks.zxid, 'ok');
  }

  respond(pending: PendingRequest, response: Buffer): void {
    this.#settle(pending, response, 0, 'ok');
  }

  fail(pending: PendingRequest, error: unknown, read?: ReadSource): void {
    const known = this.#socket.problemOf(error);
    if (isFateUnknown(pending, error, known)) {
      this.#connectionLoss(pending, known);
      return;
    }
    if (known.code === 'SESSION_MOVED') this.#session.moved();
    const zxid = typeof known.fields.zxid === 'number' ? known.fields.zxid : 0;
    const response = errorResponse(pending.id, known, { zxid, replayed: known.fields.replayed === true, read });
    this.#settle(pending, response, zxid, known.status >= 500 ? 'failed' : 'refused');
  }

  commitReserved<T>(member: CommittingMember, work: () => Promise<T>): Promise<T> {
    return this.#parts.permits.commit(this.access, member, work);
  }

  requireStill(request: ParsedRequest): void {
    const problem = accessProblem(this.access, request);
    if (problem) throw problem;
  }

  waits(pending: PendingRequest): void {
    this.#release(pending);
  }

  #settle(pending: PendingRequest, response: string | Buffer, zxid = 0, outcome: 'ok' | 'refused' | 'failed'): void {
    this.#release(pending, response.length);
    if (this.#isDead || pending.response !== undefined) return;
    const { metrics, dispatcher } = this.#parts;
    pending.response = response;
    pending.zxid = zxid;
    if (zxid > this.#newestZxid) this.#newestZxid = zxid;
    metrics.settled(pending, outcome);
    this.#writer.settled(pending);
    dispatcher.hasResponses(this);
    if (this.#lanes.settled(pending)) dispatcher.hasRequests(this);
  }

  /** A request needs its permit and its part of the read budget no more. */
  #release(pending: PendingRequest, resultBytes?: number): void {
    const { onSettled } = pending;
    if (this.#lanes.endRead(pending, resultBytes)) this.#parts.dispatcher.hasRequests(this);
    pending.onSettled = undefined;
    onSettled?.();
  }

  flush(): void {
    if (this.#isDead) return;
    const onSent = (pending: PendingRequest) => this.#inFlight.remove(pending);
    for (const lane of this.#writer.flush(onSent)) this.#lanes.removed(lane);
    this.#intake.update();
    this.#awaitRoom();
    if (this.canBegin) this.#parts.dispatcher.hasRequests(this);
    if (this.#isStopping && this.#inFlight.requests === 0)
      this.#socket.close(closeCodes.goingAway, 'The server is stopping');
  }

  /** Comes back when the peer has taken what it was sent: only then is anything more read, begun or sent. */
  #awaitRoom(): void {
    const room = this.#isWaitingForRoom ? undefined : this.#socket.room();
    if (!room) return;
    this.#isWaitingForRoom = true;
    void room.then(() => {
      this.#isWaitingForRoom = false;
      this.#parts.dispatcher.hasResponses(this);
    });
  }

  #connectionLoss(pending: PendingRequest, { message }: ServiceError): void {
    this.#release(pending);
    if (this.#isDead) return;
    // What is ready stands before it, or in another lane.
    this.flush();
    this.#parts.metrics.lost(pending);
    const problem = unknownFate(message).toProblem();
    this.#sendFrame({ ...problem, type: 'error', ...(pending.id !== undefined && { request: pending.id }) });
    this.#close(socketCloseCodes.tryAgain, 'The fate of a request is unknown: reconnect, attach, and send it again');
  }

  #tailLags(zxid: number): void {
    const { tailLagMsMax } = this.#parts.limits;
    const detail = `A response waits for transaction ${zxid}, which this broker has not received within ${tailLagMsMax} ms. Reconnect, perhaps to another broker.`;
    this.#sendFrame({ ...new ServiceError('STORE_UNAVAILABLE', detail).toProblem(), type: 'error' });
    this.#close(socketCloseCodes.tryAgain, 'The event stream lags behind: reconnect, attach, and send it again');
  }

  /** Closes the socket with the problem of a frame, behind the responses that are ready. */
  #closeWith(error: unknown): void {
    this.flush();
    this.#isDead = true;
    this.#socket.fail(error);
  }

  #close(code: number, reason: string): void {
    this.#isDead = true;
    this.#socket.close(code, reason);
  }

  /** The server stops: reads nothing more, responds to what is in flight, then closes. */
  #drain(): void {
    this.#isStopping = true;
    this.#intake.stop();
    this.#stopped.abort();
    this.#parts.dispatcher.hasResponses(this);
  }

  #end(): void {
    const { dispatcher, bookmarks, metrics } = this.#parts;
    this.#isDead = true;
    this.#stopped.abort();
    this.#leaveQueue?.();
    dispatcher.forget(this);
    bookmarks.remove(this);
    metrics.remove(this);
    this.#inFlight.close();
    this.#reads.close();
    // The socket may be closed before these exist.
    this.#intake?.stop();
    this.#writer?.close();
    this.#watches?.closeAll();
    this.#session?.stop();
  }

  #sendFrame(frame: EventFrame): void {
    this.#socket.sendFrame(frame);
  }
}
