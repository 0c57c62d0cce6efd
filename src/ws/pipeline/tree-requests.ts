// Carries out the requests on the tree. They are submitted to the store at once, which keeps the order of each socket, and are sent to
// Redis with those of other sockets.
import { childrenLimitDefault } from '../../../schemas/nodes.ts';
import type { SocketRequest } from '../../../schemas/socket.ts';
import { toJsonData } from '../../core/json-data.ts';
import { ServiceError } from '../../core/service-error.ts';
import { nameOf, pathProblem, shownPath, withoutTrailingSlash } from '../../core/tree/path.ts';
import type { Origin } from '../../store/origin.ts';
import type { Namespace, Op, WriteSequence } from '../../store/tree/namespace.ts';
import { requestedOp, withResults } from '../../store/tree/requested-op.ts';
import type { SessionCredential } from '../../store/tree/sessions.ts';
import type { PendingRequest } from './pending-request.ts';
import { pathJson, type ResponseMarks, statJson } from './response-json.ts';

/** The socket of a request on the tree. */
export interface TreeSender extends Origin {
  readonly session: SessionCredential | undefined;
  mayRead(path: string): boolean;
  /** @throws ServiceError BAD_REQUEST if no session is attached */
  sequenceOf(seq: number): WriteSequence;
  succeed(pending: PendingRequest, ok: string, marks: ResponseMarks): void;
  fail(pending: PendingRequest, error: unknown): void;
}

type TreeRequest = SocketRequest<'create' | 'set' | 'delete' | 'get' | 'exists' | 'children' | 'multi'>;

const sessionRemedy = 'attach one to the socket, or send its handle as session';

export class TreeRequests {
  readonly #namespace: Namespace;

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
  }

  /** Carries out a request. Its result comes later, and after those of earlier requests of the same sender. */
  carryOut(pending: PendingRequest, request: TreeRequest, sender: TreeSender): void {
    switch (request.op) {
      case 'get':
        this.#get(pending, validPath(request.path), sender);
        break;
      case 'exists':
        this.#exists(pending, validPath(request.path), sender);
        break;
      case 'children':
        this.#children(pending, request, sender);
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

  #get(pending: PendingRequest, path: string, sender: TreeSender): void {
    this.#namespace.get(path, { origin: sender }).then(
      ({ zxid, stat, contentType, data: bytes }) => {
        const { data, encoding } = toJsonData(bytes);
        const content = `"data":${JSON.stringify(data)},"encoding":"${encoding}","contentType":${JSON.stringify(contentType)}`;
        sender.succeed(pending, `{${pathJson(path)}${content},"stat":${statJson(stat)}}`, { zxid });
      },
      (error: unknown) => sender.fail(pending, error),
    );
  }

  #exists(pending: PendingRequest, path: string, sender: TreeSender): void {
    this.#namespace.stat(path, { origin: sender }).then(
      ({ zxid, stat }) =>
        sender.succeed(pending, `{${pathJson(path)}"exists":true,"stat":${statJson(stat)}}`, { zxid }),
      (error: unknown) => {
        if (!(error instanceof ServiceError) || error.code !== 'NO_NODE') return sender.fail(pending, error);
        sender.succeed(pending, `{${pathJson(path)}"exists":false}`, { zxid: Number(error.fields.zxid) });
      },
    );
  }

  #children(pending: PendingRequest, request: SocketRequest<'children'>, sender: TreeSender): void {
    const { after, limit = childrenLimitDefault, stats = false } = request;
    const path = validPath(request.path);
    this.#namespace.children(path, { after, limit, stats }, { origin: sender }).then(
      ({ zxid, stat, children, next }) => {
        const below = path === '/' ? '/' : `${path}/`;
        const visible = children.filter(({ name }) => sender.mayRead(below + name));
        const names = stats ? visible : visible.map(({ name }) => name);
        const ok = JSON.stringify({ path, children: names, ...(next !== undefined && { next }), stat });
        sender.succeed(pending, ok, { zxid });
      },
      (error: unknown) => sender.fail(pending, error),
    );
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
    this.#namespace.write(ops, { origin: sender, sequence }).then(
      ({ zxid, replayed, results }) => {
        const shown = isMulti ? multiJson(zxid, results) : writtenJson(request, results[0]);
        sender.succeed(pending, shown, { zxid, replayed });
      },
      (error: unknown) => sender.fail(pending, isMulti ? withResults(error, ops.length) : withoutIndex(error)),
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

type Results = Awaited<ReturnType<Namespace['write']>>['results'];

function multiOps({ ops }: SocketRequest<'multi'>, { session }: TreeSender): Op[] {
  return ops.map((op, index) => {
    try {
      return requestedOp(op, { where: `ops.${index}`, session, remedy: sessionRemedy });
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      throw new ServiceError(error.code, error.message, { ...error.fields, failed: index });
    }
  });
}

function singleOp(request: SocketRequest<'create' | 'set' | 'delete'>, { session }: TreeSender): Op {
  const op = requestedOp(request, { where: request.op, session, remedy: sessionRemedy });
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

/** The error of a single operation, which has no index. */
function withoutIndex(error: unknown): unknown {
  if (!(error instanceof ServiceError) || error.fields.failed === undefined) return error;
  const { failed: _, ...fields } = error.fields;
  return new ServiceError(error.code, error.message, fields, { cause: error.cause });
}
