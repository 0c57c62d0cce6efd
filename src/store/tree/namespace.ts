// The tree of nodes: typed calls of lua/nodes. The scripts do all checks, in ZooKeeper's order; this file encodes operations, decodes
// results, and keeps large requests from blocking small ones.
import type { Stat } from '../../../schemas/common.ts';
import type { TreeNode } from '../../../schemas/nodes.ts';
import type { Creator } from '../../core/creator.ts';
import { required } from '../../core/required.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { IdempotencyKey } from '../idempotency.ts';
import type { CoordinationKeys } from '../keys.ts';
import type { Origin } from '../origin.ts';
import { CallBatcher } from '../redis/call-batcher.ts';
import { ConcurrencyLimiter, type LargeRead } from '../redis/concurrency-limiter.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { OrderedCalls, type OrderedRequest } from '../redis/ordered-calls.ts';
import { bytes, decodeReply, integer, type ReplyValue, type ScriptArguments, text } from '../scripts.ts';
import { nest } from './nested-tree.ts';
import { decodeStat } from './node-codec.ts';
import { NodeSizes } from './node-sizes.ts';
import {
  checkPaths,
  decodeResult,
  encodeRefusal,
  encodeRequest,
  isOfSubtree,
  isTransfer,
  type Op,
  type OpResult,
  type ResultOf,
  type Step,
  type WriteSequence,
} from './op-codec.ts';
import { checkTransaction, transactionBytes } from './transaction-limits.ts';

export type { Op, OpResult, Step, WriteSequence } from './op-codec.ts';

/** The part of a reply of nodes/get that is about one node, and the newest zxid at that moment. */
interface ReadReply {
  zxid: number;
  reply: ReplyValue;
}

/** `data` without large ones, of which the size is read; `all` with those. */
type ReadView = 'data' | 'all' | 'stat';

type WriteScript = 'nodes/write' | 'nodes/delete' | 'nodes/write-allow-oom' | 'nodes/transfer';

/** The scripts of ordered requests. */
type OrderedScript = 'nodes/write' | 'nodes/delete' | 'nodes/get' | 'nodes/children';

/** The bytes before the stat in that part: the lengths of the stat and of the content type. */
const readHeadBytes = 3;

interface ReadOptions {
  /**
   * The sender, if the request must be carried out behind all earlier ones of the same sender. It is then not repeated, and fails at
   * once without a connection to the store.
   */
  origin?: Origin | undefined;
  /** Reads large data when there is room for so many bytes; absent: with the large reads of the broker itself. */
  inTurn?: LargeRead | undefined;
}

export interface WriteOptions extends ReadOptions {
  /** Whether reserved paths may be written, and the limits of a transaction do not apply: only for the broker's own writes. */
  privileged?: boolean;
  /** Write even when Redis is at its memory limit: for small writes that the cluster needs to run, or that free memory. */
  allowOom?: boolean;
  idempotency?: IdempotencyKey | undefined;
  /** Against whom counts what it creates; undefined if that is not limited. */
  creator?: Creator | undefined;
  /** Only say what it would do. */
  trial?: boolean;
  /** Its place among the writes of a session, which makes a repeat safe; in the place of an Idempotency-Key. Needs an origin. */
  sequence?: WriteSequence | undefined;
}

interface WriteResult<S extends Step> {
  zxid: number;
  /** Whether this is the stored result of an earlier request with the same Idempotency-Key or sequence. */
  replayed: boolean;
  results: ResultOf<S>[];
}

export interface NodeData {
  zxid: number;
  stat: Stat;
  contentType: string;
  data: Buffer;
}

export interface NamespaceLimits {
  maxNodeBytes: number;
  /** How many transactions the event stream keeps, for watchers that resume. */
  eventRetention: number;
  /** The limits of stored responses (storedResponseLimits). */
  responseLimits: string;
}

/** The weight of one call: some 3 ms of Redis. What 64 clients write at once fits, as each call costs time and a sync of the disk. */
const callWeightMax = 128;
/** A write of at least that weight is large: about a millisecond of Redis. */
const largeWeight = 64;
const readsPerCallMax = 64;
/** The bytes of large nodes that are read at once: more would reach the time limit of the store. */
const largeReadBytesAtOnce = 8 * 1024 * 1024;

/** A large transaction may block Redis for a tenth of a second. Others wait in the broker, so that small requests run in between. */
const largeAtOnce = 1;
/** The number of nodes with stats in all pages in flight: some 5 ms of Redis. A page of the largest size runs alone, and takes ten times as long. */
const pageNodesAtOnce = 2000;
/** A page of at most so many nodes takes half a millisecond, and does not wait for others. */
const smallPage = 200;
/** The cost of a name without a stat, relative to a node with its stat. */
const nameWeight = 1 / 5;

export class Namespace {
  readonly #connection: StoreConnection;
  readonly #keys: CoordinationKeys;
  readonly limits: NamespaceLimits;
  readonly sizes: NodeSizes;
  readonly #reads: CallBatcher<{ path: string; view: ReadView }, ReadReply>;
  /** Each request is encoded (op-codec.ts). */
  readonly #writes: CallBatcher<Buffer, ReplyValue>;
  readonly #deletions: CallBatcher<Buffer, ReplyValue>;
  /** By kind, the calls of which few may be in flight at once. */
  readonly limiters;
  readonly #oomWrites: CallBatcher<Buffer, ReplyValue>;
  readonly #transfers: CallBatcher<Buffer, ReplyValue>;
  readonly #ordered: OrderedCalls<OrderedScript>;

  constructor(connection: StoreConnection, keys: CoordinationKeys, limits: NamespaceLimits) {
    this.#connection = connection;
    this.#keys = keys;
    this.limits = limits;
    this.sizes = new NodeSizes(limits.maxNodeBytes);
    const { queueMs } = connection.timeouts;
    this.limiters = {
      large_transactions: new ConcurrencyLimiter('large transactions', largeAtOnce, queueMs),
      large_reads: new ConcurrencyLimiter('reads of large nodes', largeReadBytesAtOnce, queueMs),
      pages: new ConcurrencyLimiter('pages of nodes', pageNodesAtOnce, queueMs),
    };
    this.#writes = new CallBatcher(callWeightMax, (requests) => this.#send('nodes/write', requests));
    this.#deletions = new CallBatcher(callWeightMax, (requests) => this.#send('nodes/delete', requests));
    this.#oomWrites = new CallBatcher(callWeightMax, (requests) => this.#send('nodes/write-allow-oom', requests));
    this.#transfers = new CallBatcher(callWeightMax, (requests) => this.#send('nodes/transfer', requests));
    this.#reads = new CallBatcher(readsPerCallMax, (reads) => this.#read(reads));
    this.#ordered = new OrderedCalls(callWeightMax, (script, requests) => this.#sendOrdered(script, requests));
  }

  #send(script: WriteScript, requests: Buffer[]): Promise<ReplyValue[]> {
    return this.#connection.call(script, this.#keys.root, this.#writeArguments(requests));
  }

  #writeArguments(requests: ScriptArguments): ScriptArguments {
    return [this.limits.maxNodeBytes, this.limits.eventRetention, this.limits.responseLimits, ...requests];
  }

  async #sendOrdered(script: OrderedScript, requests: Readonly<ScriptArguments>[]): Promise<ReplyValue[][]> {
    const isWrite = script === 'nodes/write' || script === 'nodes/delete';
    const args = isWrite ? this.#writeArguments(requests.flat()) : requests.flat();
    const reply = await this.#connection.call(script, this.#keys.root, args, { ordered: true });
    if (isWrite) return reply.map((result) => [result]);
    if (script === 'nodes/children') return [reply]; // A page is a call by itself.
    const [zxid = 0, ...results] = reply;
    return results.map((result) => [zxid, result]);
  }

  async #read(reads: { path: string; view: ReadView }[]): Promise<ReadReply[]> {
    const args = reads.flatMap(({ path, view }) => [path, view]);
    const [newest, ...replies] = await this.#connection.call('nodes/get', this.#keys.root, args);
    const zxid = integer(newest);
    return replies.map((reply) => ({ zxid, reply }));
  }

  /**
   * Applies operations as one transaction, all or nothing.
   * @throws ServiceError of the first operation that fails (codes and their order: lua/nodes/write.lua), its index in
   *   the field `failed`; TOO_LARGE for more than one transaction may be; TOO_MANY_REQUESTS if other large ones keep it waiting for
   *   too long
   */
  async write<S extends Step>(operations: S[], options: WriteOptions = {}): Promise<WriteResult<S>> {
    try {
      checkPaths(operations);
      if (!options.privileged) checkTransaction(operations, this.limits.maxNodeBytes);
    } catch (error) {
      if (!options.sequence || !options.origin || !(error instanceof ServiceError)) throw error;
      return this.refuse(error, options.origin, options.sequence);
    }
    // The script reads the subtree from Redis, so it would miss earlier operations of the same transaction.
    if (operations.length > 1 && operations.some(isOfSubtree)) {
      throw new Error('An operation on a subtree must be the only one of its transaction');
    }
    // Deletions must work at the memory limit, so they have a script of their own (lua/nodes/delete.lua).
    const deletes = operations.length > 0 && operations.every(({ op }) => op === 'delete' || op === 'delete-recursive');
    this.sizes.noteWrite(operations);
    const weight = weightOf(operations);
    const isLarge = weight >= largeWeight && !options.privileged;
    const request = encodeRequest(operations, options);
    const { origin } = options;
    if (origin) {
      const ordered = { kind: deletes ? 'nodes/delete' : 'nodes/write', args: [request], weight } as const;
      const [reply] = await this.#submitOrdered(origin, ordered, isLarge && 'large_transactions');
      return decodeWrite(reply, operations, options.sequence);
    }
    const batcher = options.allowOom
      ? this.#oomWrites
      : deletes
        ? this.#deletions
        : operations.some(isTransfer)
          ? this.#transfers
          : this.#writes;
    const submit = () => batcher.submit(request, weight);
    return decodeWrite(await (isLarge ? this.limiters.large_transactions.run(submit) : submit()), operations);
  }

  /**
   * Stores an error as the result of a write that was refused before it came here, as its sequence is used up: those behind it go on.
   * @throws ServiceError `error`, or as write()
   */
  async refuse(error: ServiceError, origin: Origin, sequence: WriteSequence): Promise<never> {
    const args = [encodeRefusal(error, sequence)];
    const [reply] = await this.#submitOrdered(origin, { kind: 'nodes/delete', args, weight: 1 });
    decodeWrite(reply, [], sequence);
    throw error;
  }

  /** @param limiter the limiter in which it waits for room, if it is large */
  #submitOrdered(
    origin: Origin,
    request: OrderedRequest<OrderedScript>,
    limiter: keyof Namespace['limiters'] | false = false,
  ): Promise<ReplyValue[]> {
    const { weight } = request;
    if (!limiter) return this.#ordered.submit(origin, request);
    return this.#ordered.submit(origin, request, (task) => this.limiters[limiter].run(task, weight));
  }

  /** As write(), of one operation. The error has no field `failed`. */
  async writeOne(
    operation: Op,
    options: WriteOptions = {},
  ): Promise<{ zxid: number; replayed: boolean; result: OpResult }> {
    try {
      const { zxid, replayed, results } = await this.write([operation], options);
      return { zxid, replayed, result: required(results[0], 'result of an operation') };
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      const { failed: _, ...fields } = error.fields;
      throw new ServiceError(error.code, error.message, fields, { cause: error.cause });
    }
  }

  /** Reads a node with its data. @throws ServiceError NO_NODE (field `zxid`) */
  async get(path: string, { origin, inTurn }: ReadOptions = {}): Promise<NodeData> {
    let { zxid, reply } = await this.#readOne(path, 'data', origin);
    // The size of large data, which are read in a call of their own, when there is room for them.
    if (typeof reply === 'number') {
      const limited: LargeRead = inTurn ?? ((size, all) => this.limiters.large_reads.run(all, size));
      const [read] = await limited(reply, () => this.#read([{ path, view: 'all' }]));
      ({ zxid, reply } = required(read, 'reply to a read'));
    }
    if (!Buffer.isBuffer(reply)) throw decodeFailure('nodes/get', reply);
    const typeStart = readHeadBytes + reply.readUInt8(0);
    const dataStart = typeStart + reply.readUInt16BE(1);
    this.sizes.set(path, reply.length - dataStart);
    return {
      zxid,
      stat: decodeStat(reply.subarray(readHeadBytes, typeStart)),
      contentType: reply.toString('utf8', typeStart, dataStart),
      data: reply.subarray(dataStart),
    };
  }

  /** Reads a node's stat alone. @throws ServiceError NO_NODE (field `zxid`) */
  async stat(path: string, { origin }: ReadOptions = {}): Promise<{ zxid: number; stat: Stat }> {
    const { zxid, reply } = await this.#readOne(path, 'stat', origin);
    if (!Buffer.isBuffer(reply)) throw decodeFailure('nodes/get', reply);
    return { zxid, stat: decodeStat(reply.subarray(readHeadBytes)) };
  }

  async #readOne(path: string, view: 'data' | 'stat', origin: Origin | undefined): Promise<ReadReply> {
    if (!origin) return this.#reads.submit({ path, view }, 1);
    // A node that is left out of a reply would be read again, behind later requests; so it is not left out.
    const [orderedView, weight] = view === 'data' ? ['all', this.sizes.readWeight(path)] : [view, 1];
    const request = { kind: 'nodes/get', args: [path, orderedView], weight } as const;
    const [zxid, reply] = await this.#submitOrdered(origin, request);
    return { zxid: integer(zxid), reply: required(reply, 'reply to a read') };
  }

  /**
   * Reads a page of a node's children, in the byte order of their names.
   * @param page `after` = the name to start after; `limit` = the largest number of names
   * @returns `next` = the name to pass as `after` for the next page, if there is one
   * @throws ServiceError NO_NODE (field `zxid`)
   */
  async children(
    path: string,
    page: { after?: string | undefined; limit: number; stats?: boolean },
    { origin }: ReadOptions = {},
  ): Promise<{ zxid: number; stat: Stat; children: { name: string; stat?: Stat }[]; next: string | undefined }> {
    const withStats = page.stats ?? false;
    const args = [path, page.after ?? '', page.limit, withStats ? '1' : '0'];
    const weight = page.limit * (withStats ? 1 : nameWeight);
    const [zxid, stat, more, ...rest] = await this.#page('nodes/children', args, weight, origin);
    const children: { name: string; stat?: Stat }[] = [];
    for (let i = 0; i < rest.length; i += withStats ? 2 : 1) {
      const name = text(rest[i]);
      children.push(withStats ? { name, stat: decodeStat(bytes(rest[i + 1])) } : { name });
    }
    const next = text(more) === '1' ? children.at(-1)?.name : undefined;
    return { zxid: integer(zxid), stat: decodeStat(bytes(stat)), children, next };
  }

  /** Reads the names of all children, in pages: for nodes of the broker that have few children. */
  async allChildren(path: string): Promise<string[]> {
    const names: string[] = [];
    let after: string | undefined;
    do {
      const page = await this.children(path, { after, limit: 1000 });
      names.push(...page.children.map(({ name }) => name));
      after = page.next;
    } while (after !== undefined);
    return names;
  }

  /**
   * Deletes expired containers and TTL nodes, checking at most `limit` nodes.
   * @param unusedContainerMs how long a container that never had a child is kept
   */
  async expireNodes(limit: number, unusedContainerMs: number): Promise<{ checked: number; deleted: number }> {
    const args = [limit, unusedContainerMs, this.limits.eventRetention];
    const [checked, deleted] = await this.#connection.call('nodes/expire', this.#keys.root, args);
    return { checked: integer(checked), deleted: integer(deleted) };
  }

  /**
   * Reads the subtree of a node at one moment.
   * @param bounds `depth` = levels below the node; `limit` = the largest number of nodes
   * @returns `truncated` = true on each node whose children are not all included, and for the whole if there is one
   * @throws ServiceError NO_NODE (field `zxid`)
   */
  async tree(
    path: string,
    bounds: { depth: number; limit: number },
  ): Promise<{ zxid: number; tree: TreeNode; truncated: boolean }> {
    const args = [path, bounds.depth, bounds.limit];
    const [zxid, , ...rest] = await this.#page('nodes/tree', args, bounds.limit);
    return { zxid: integer(zxid), ...nest(path, rest) };
  }

  /** @param nodes how many nodes the page may have, as its weight */
  #page(
    script: 'nodes/children' | 'nodes/tree',
    args: ScriptArguments,
    nodes: number,
    origin?: Origin,
  ): Promise<ReplyValue[]> {
    const limiter = nodes > smallPage && 'pages';
    if (origin && script === 'nodes/children')
      return this.#submitOrdered(origin, { kind: script, args, weight: Math.max(nodes, callWeightMax) }, limiter);
    const call = () => this.#connection.call(script, this.#keys.root, args);
    return limiter ? this.limiters.pages.run(call, nodes) : call();
  }
}

/** Decodes the reply to one write. @throws ServiceError */
function decodeWrite<S extends Step>(
  reply: ReplyValue | undefined,
  operations: readonly S[],
  sequence?: WriteSequence,
): WriteResult<S> {
  if (!Buffer.isBuffer(reply)) throw decodeFailure('nodes/write', reply ?? null);
  // Each kind of operation has the results of its kind only (op-codec.ts, resultsOf).
  return decodeResult(reply, operations, sequence) as WriteResult<S>;
}

/** Decodes the reply to one of several requests in a call, if that is an error. */
function decodeFailure(script: string, reply: ReplyValue): Error {
  try {
    decodeReply(script, reply);
  } catch (error) {
    if (!(error instanceof ServiceError) || error.fields.replayed === undefined) return error as Error;
    return new ServiceError(error.code, error.message, { ...error.fields, replayed: true });
  }
  return new Error(`Script ${script} replied OK without a value`);
}

/**
 * The weight of a write request in a call: its operations, and its bytes, of which 32 KiB count as one more. An operation on a
 * subtree may take a tenth of a second, so it fills a call.
 */
function weightOf(operations: readonly Step[]): number {
  if (operations.some(isOfSubtree)) return callWeightMax;
  return operations.length + transactionBytes(operations) / 32_768;
}
