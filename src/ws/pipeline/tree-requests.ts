// Carries out the requests on the tree. They are submitted to the store at once, which keeps the order of each socket, and are sent to
// Redis with those of other sockets.

import type { FastifyRequest } from 'fastify';
import { childrenLimitDefault } from '../../../schemas/nodes.ts';
import type { SocketRequest } from '../../../schemas/socket.ts';
import { errorOfWrite, permittedWrite } from '../../access/node-operations.ts';
import { isShowable, readableChildren } from '../../access/readable-children.ts';
import type { LocalNodes, ReadSource } from '../../broker/watches/local-nodes.ts';
import type { Actor } from '../../core/actor.ts';
import { toJsonData } from '../../core/json-data.ts';
import { ServiceError } from '../../core/service-error.ts';
import { nameOf, pathProblem, shownPath, withoutTrailingSlash } from '../../core/tree/path.ts';
import type { Origin } from '../../store/origin.ts';
import type { Namespace, Op, WriteSequence } from '../../store/tree/namespace.ts';
import { requestedOp, withResults } from '../../store/tree/requested-op.ts';
import type { SessionCredential } from '../../store/tree/sessions.ts';
import type { PendingRequest, ReadRequest } from './pending-request.ts';
import type { RequestAccess } from './request-access.ts';
import { pathJson, type ResponseMarks, statJson } from './response-json.ts';

/** The socket of a request on the tree. */
export interface TreeSender extends Origin {
  readonly session: SessionCredential | undefined;
  /** The newest transaction that its responses reflect, also those that are not sent yet. */
  readonly newestZxid: number;
  /** Who sends it, and what it may do. */
  readonly access: RequestAccess & Actor & Pick<FastifyRequest, 'account'>;
  mayRead(path: string): boolean;
  /** @throws ServiceError BAD_REQUEST if no session is attached */
  sequenceOf(seq: number): WriteSequence;
  succeed(pending: PendingRequest, ok: string, marks: ResponseMarks): void;
  fail(pending: PendingRequest, error: unknown, read?: ReadSource): void;
}

/** A read under way. */
interface Reading {
  readonly pending: PendingRequest;
  readonly path: string;
  readonly sender: TreeSender;
  /** Where the result of a local read came from. */
  read: ReadSource | undefined;
}

type TreeRequest = SocketRequest<'create' | 'set' | 'delete' | 'get' | 'exists' | 'children' | 'multi'>;

const sessionRemedy = 'attach one to the socket, or send its handle as session';

export class TreeRequests {
  readonly #namespace: Namespace;
  readonly #localNodes: LocalNodes;

  constructor(namespace: Namespace, localNodes: LocalNodes) {
    this.#namespace = namespace;
    this.#localNodes = localNodes;
  }

  /** Carries out a request. Its result comes later, and after those of earlier requests of the same sender. */
  carryOut(pending: PendingRequest, request: TreeRequest, sender: TreeSender): void {
    switch (request.op) {
      case 'get':
      case 'exists':
      case 'children':
        this.#read(pending, request, sender);
        break;
      default:
        this.#write(pending, request, sender);
    }
  }

  /** Refuses a request that is not carried out. If it has a seq, the store notes that, so that writes behind it go on. */
  refuse(pending: PendingRequest, problem: ServiceError, sender: TreeSender): void {
    const { seq } = pending;
    if (seq === undefined || sender.session === undefined) {
      sender.fail(pending, problem);
      return;
    }
    this.#namespace
      .refuse(problem, sender, sender.sequenceOf(seq))
      .catch((error: unknown) => sender.fail(pending, error));
  }

  /**
   * Carries out a local read at once, if memory has the result. To be called when the requests before it have their results.
   * @returns whether memory had it; if not, the read must be carried out otherwise
   */
  readFromMemory(pending: PendingRequest, request: ReadRequest, sender: TreeSender): boolean {
    const path = withoutTrailingSlash(request.path);
    if (pathProblem(path) !== undefined || isWithStats(request)) return false;
    const reads = this.#localNodes.readsFromMemory(sender.newestZxid);
    const reading: Reading = { pending, path, sender, read: 'local' };
    switch (request.op) {
      case 'get':
        return respond(reads.get(path), reading, respondWithNode);
      case 'exists':
        return respond(reads.stat(path), reading, respondWithStat);
      case 'children':
        return respond(showable(reads.children(path, pageOf(request)), reading), reading, respondWithChildren);
    }
  }

  #read(pending: PendingRequest, request: ReadRequest, sender: TreeSender): void {
    const path = validPath(request.path);
    const reading: Reading = { pending, path, sender, read: undefined };
    const reads = this.#readsOf(request, reading);
    const options = { origin: sender };
    const failed = (error: unknown) => failRead(reading, error);
    switch (request.op) {
      case 'get':
        reads.get(path, options).then((node) => respondWithNode(reading, node), failed);
        break;
      case 'exists':
        reads.stat(path, options).then((node) => respondWithStat(reading, node), failed);
        break;
      case 'children':
        // Further pages, which only a client needs that may not read all, may be newer than the first one and its zxid.
        readableChildren((page) => reads.children(path, page, options), pageOf(request), mayReadBelow(reading)).then(
          (page) => respondWithChildren(reading, page),
          failed,
        );
        break;
    }
  }

  /** Where a request reads; a local read notes the source. @throws ServiceError BAD_REQUEST */
  #readsOf(request: ReadRequest, reading: Reading): Pick<Namespace, 'get' | 'stat' | 'children'> {
    if (request.read === undefined) return this.#namespace;
    if (isWithStats(request)) {
      throw new ServiceError(
        'BAD_REQUEST',
        'Children with stats=true are not read from memory; leave out "read":"local".',
      );
    }
    const served = (source: ReadSource) => {
      reading.read = source;
    };
    return this.#localNodes.reads({ minZxid: reading.sender.newestZxid, served });
  }

  #write(
    pending: PendingRequest,
    request: SocketRequest<'create' | 'set' | 'delete' | 'multi'>,
    sender: TreeSender,
  ): void {
    const isMulti = request.op === 'multi';
    let ops: Op[];
    let sequence: WriteSequence | undefined;
    try {
      sequence = pending.seq === undefined ? undefined : sender.sequenceOf(pending.seq);
      ops = isMulti ? multiOps(request, sender) : [singleOp(request, sender)];
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      this.refuse(pending, error, sender);
      return;
    }
    const [single] = ops;
    const { steps, ancestor } =
      isMulti || !single ? { steps: ops, ancestor: undefined } : permittedWrite<Op>(sender.access, single);
    this.#namespace.write(steps, { origin: sender, sequence, creator: sender.access.account?.creator }).then(
      ({ zxid, replayed, results }) => {
        const shown = isMulti ? multiJson(zxid, results) : writtenJson(request, results.at(-1));
        sender.succeed(pending, shown, { zxid, replayed });
      },
      (error: unknown) =>
        sender.fail(pending, isMulti ? withResults(error, ops.length) : errorOfWrite(sender.access, ancestor, error)),
    );
  }
}

/** The path of a node that is read. @throws ServiceError INVALID_PATH */
function validPath(given: string): string {
  const path = withoutTrailingSlash(given);
  const problem = pathProblem(path);
  if (problem) throw new ServiceError('INVALID_PATH', `${shownPath(path)}: ${problem}.`, { path });
  return path;
}

function isWithStats(request: ReadRequest): boolean {
  return request.op === 'children' && request.stats === true;
}

function pageOf({ after, limit = childrenLimitDefault, stats = false }: SocketRequest<'children'>) {
  return { after, limit, stats };
}

type Found<M extends 'get' | 'stat' | 'children'> = Awaited<ReturnType<Namespace[M]>>;

/** Responds with what memory has. @returns false if it has nothing */
function respond<T extends object>(
  found: T | ServiceError | undefined,
  reading: Reading,
  show: (reading: Reading, found: T) => void,
): boolean {
  if (found === undefined) return false;
  if (found instanceof ServiceError) failRead(reading, found);
  else show(reading, found);
  return true;
}

function respondWithNode(reading: Reading, { zxid, stat, contentType, data: bytes }: Found<'get'>): void {
  const { pending, path, sender, read } = reading;
  const { data, encoding } = toJsonData(bytes);
  const content = `"data":${JSON.stringify(data)},"encoding":"${encoding}","contentType":${JSON.stringify(contentType)}`;
  sender.succeed(pending, `{${pathJson(path)}${content},"stat":${statJson(stat)}}`, { zxid, read });
}

function respondWithStat({ pending, path, sender, read }: Reading, { zxid, stat }: Found<'stat'>): void {
  sender.succeed(pending, `{${pathJson(path)}"exists":true,"stat":${statJson(stat)}}`, { zxid, read });
}

/** A page of memory as the client may see it; undefined if the store has to be read for that. */
function showable(found: Found<'children'> | ServiceError | undefined, reading: Reading) {
  if (found === undefined || found instanceof ServiceError) return found;
  const mayRead = mayReadBelow(reading);
  if (!isShowable(found, mayRead)) return undefined;
  return { ...found, children: found.children.filter(({ name }) => mayRead(name)) };
}

function mayReadBelow({ path, sender }: Reading): (name: string) => boolean {
  const below = path === '/' ? '/' : `${path}/`;
  return (name) => sender.mayRead(below + name);
}

function respondWithChildren({ pending, path, sender, read }: Reading, found: Found<'children'>): void {
  const { zxid, stat, children, next } = found;
  const names = children.map((child) => (child.stat ? child : child.name));
  const ok = JSON.stringify({ path, children: names, ...(next !== undefined && { next }), stat });
  sender.succeed(pending, ok, { zxid, read });
}

function failRead({ pending, path, sender, read }: Reading, error: unknown): void {
  if (pending.op === 'exists' && error instanceof ServiceError && error.code === 'NO_NODE')
    sender.succeed(pending, `{${pathJson(path)}"exists":false}`, { zxid: Number(error.fields.zxid), read });
  else sender.fail(pending, error, read);
}

type Results = Awaited<ReturnType<Namespace['write']>>['results'];

function multiOps({ ops }: SocketRequest<'multi'>, { session, access: actor }: TreeSender): Op[] {
  return ops.map((op, index) => {
    try {
      return requestedOp(op, { where: `ops.${index}`, session, actor, remedy: sessionRemedy });
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      throw new ServiceError(error.code, error.message, { ...error.fields, failed: index });
    }
  });
}

function singleOp(request: SocketRequest<'create' | 'set' | 'delete'>, { session, access: actor }: TreeSender): Op {
  const op = requestedOp(request, { where: request.op, session, actor, remedy: sessionRemedy });
  if (request.op === 'create' && op.op === 'create') return { ...op, parents: request.parents ?? false };
  if (request.op === 'delete' && op.op === 'delete' && request.recursive) return { ...op, op: 'delete-recursive' };
  return op;
}

function multiJson(zxid: number, results: Results): string {
  const shown = results.map(
    ({ op, path, stat }) => `{"op":"${op}","path":${JSON.stringify(path)}${stat ? `,"stat":${statJson(stat)}` : ''}}`,
  );
  return `{"zxid":${zxid},"results":[${shown.join(',')}]}`;
}

function writtenJson(
  request: SocketRequest<'create' | 'set' | 'delete' | 'multi'>,
  result: Results[number] | undefined,
): string {
  if (!result) throw new Error('A write has no result');
  const { path, stat } = result;
  if (request.op === 'delete') return `{"path":${JSON.stringify(path)}}`;
  const name = request.op === 'create' && request.sequential ? `"name":${JSON.stringify(nameOf(path))},` : '';
  if (!stat) throw new Error('The result of a write has no stat');
  return `{${pathJson(path)}${name}"stat":${statJson(stat)}}`;
}
