// The tree of nodes: typed calls of lua/nodes. Checks live in the scripts, in ZooKeeper's order; here is only how the
// operations go in and how the answers come out.
import type { Stat } from '../../../schemas/common.ts';
import type { TreeNode } from '../../../schemas/nodes.ts';
import { ServiceError } from '../../core/service-error.ts';
import { nameOf } from '../../core/tree/path.ts';
import type { IdempotencyKey } from '../idempotency.ts';
import type { CoordinationKeys } from '../keys.ts';
import { CallBatcher } from '../redis/call-batcher.ts';
import { ConcurrencyLimiter } from '../redis/concurrency-limiter.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { bytes, decodeReply, integer, type ReplyValue, text } from '../scripts.ts';
import { decodeStat } from './node-codec.ts';
import { checkPaths, decodeResult, encodeRequest, type Op, type OpResult, type Step } from './op-codec.ts';
import { checkTransaction, transactionBytes } from './transaction-limits.ts';

export { type Op, type OpResult, type Step, textContentType } from './op-codec.ts';

/** What nodes/get says of one node, and the newest zxid at that moment. */
interface ReadReply {
  zxid: number;
  reply: ReplyValue;
}

/** In what nodes/get says of a node: the lengths before its stat. */
const readHeadBytes = 3;

export interface WriteOptions {
  /** The broker's own writes may touch reserved paths. */
  privileged?: boolean;
  /** The cluster itself lives by what is written, or makes room by it, and it is little: let through at the store's memory limit. */
  allowOom?: boolean;
  idempotency?: IdempotencyKey | undefined;
}

export interface WriteResult {
  zxid: number;
  /** Whether this is the kept answer of an earlier request with the same Idempotency-Key. */
  replayed: boolean;
  results: OpResult[];
}

export interface NodeData {
  zxid: number;
  stat: Stat;
  contentType: string;
  data: Buffer;
}

export interface NamespaceLimits {
  maxNodeBytes: number;
  /** How many transactions to keep for watchers that resume. */
  eventRetention: number;
  /** Limits of the records kept for Idempotency-Keys, as stored-responses.ts words them. */
  responseLimits: string;
}

/** What one call carries at most: about a millisecond of the store's time. */
const operationsPerCallMax = 64;
const readsPerCallMax = 64;

/** A large request may hold the store for a tenth of a second. The others wait here, so that small ones go between them. */
const largeAtOnce = 1;
/** With the store's own time-out, less than the 2 s in which a request is answered. */
const largeWaitMsMax = 1000;
/** Of nodes with their stats, in all pages under way: some 5 ms. A page of the largest size goes alone, and takes ten times as long. */
const pageNodesAtOnce = 2000;
/** A page of no more takes half a millisecond: less than to wait for others. */
const smallPage = 200;
/** A name without a stat takes this part of the time. */
const nameWeight = 1 / 5;

export class Namespace {
  readonly #connection: StoreConnection;
  readonly #keys: CoordinationKeys;
  readonly limits: NamespaceLimits;
  readonly #reads: CallBatcher<{ path: string; view: 'data' | 'stat' }, ReadReply>;
  /** Each question is a packed request. */
  readonly #writes: CallBatcher<Buffer, ReplyValue>;
  readonly #deletions: CallBatcher<Buffer, ReplyValue>;
  /** By kind, the calls of which few may be in flight at once. */
  readonly limiters: Readonly<Record<'large_transactions' | 'pages', ConcurrencyLimiter>>;
  readonly #large = new ConcurrencyLimiter('large transactions', largeAtOnce, largeWaitMsMax);
  readonly #pages = new ConcurrencyLimiter('pages of nodes', pageNodesAtOnce, largeWaitMsMax);
  readonly #oomWrites: CallBatcher<Buffer, ReplyValue>;

  constructor(connection: StoreConnection, keys: CoordinationKeys, limits: NamespaceLimits) {
    this.#connection = connection;
    this.#keys = keys;
    this.limits = limits;
    this.limiters = { large_transactions: this.#large, pages: this.#pages };
    this.#writes = new CallBatcher(operationsPerCallMax, (requests) => this.#send('nodes/write', requests));
    this.#deletions = new CallBatcher(operationsPerCallMax, (requests) => this.#send('nodes/delete', requests));
    this.#oomWrites = new CallBatcher(operationsPerCallMax, (requests) =>
      this.#send('nodes/write-allow-oom', requests),
    );
    this.#reads = new CallBatcher(readsPerCallMax, (reads) => this.#read(reads));
  }

  #send(script: 'nodes/write' | 'nodes/delete' | 'nodes/write-allow-oom', requests: Buffer[]): Promise<ReplyValue[]> {
    const { maxNodeBytes, eventRetention, responseLimits: responses } = this.limits;
    return this.#connection.call(script, this.#keys.root, [maxNodeBytes, eventRetention, responses, ...requests]);
  }

  async #read(reads: { path: string; view: 'data' | 'stat' }[]): Promise<ReadReply[]> {
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
  async write(operations: Step[], options: WriteOptions = {}): Promise<WriteResult> {
    checkPaths(operations);
    if (!options.privileged) checkTransaction(operations, this.limits.maxNodeBytes);
    // The subtree is read from what is stored, so it would not see what came before it in the same transaction.
    if (operations.length > 1 && operations.some(({ op }) => op === 'delete-recursive')) {
      throw new Error('A recursive delete must be the only operation of its transaction');
    }
    // Deleting must work when the store is full, so it is a script of its own (lua/nodes/delete.lua).
    const deletes = operations.length > 0 && operations.every(({ op }) => op === 'delete' || op === 'delete-recursive');
    const turn = options.allowOom ? this.#oomWrites : deletes ? this.#deletions : this.#writes;
    const weight = weightOf(operations);
    const ask = () => turn.submit(encodeRequest(operations, options), weight);
    const isLarge = weight >= operationsPerCallMax && !options.privileged;
    const answer = await (isLarge ? this.#large.run(ask) : ask());
    if (!Buffer.isBuffer(answer)) throw decodeFailure('nodes/write', answer);
    return decodeResult(answer, operations);
  }

  /** Applies one operation; as write(), but its error says nothing of an index. */
  async writeOne(
    operation: Op,
    options: WriteOptions = {},
  ): Promise<{ zxid: number; replayed: boolean; result: OpResult }> {
    try {
      const { zxid, replayed, results } = await this.write([operation], options);
      return { zxid, replayed, result: results[0]! };
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      const { failed: _, ...fields } = error.fields;
      throw new ServiceError(error.code, error.message, fields, { cause: error.cause });
    }
  }

  /** Reads a node with its data. @throws ServiceError NO_NODE (field `zxid`) */
  async get(path: string): Promise<NodeData> {
    let read = await this.#reads.submit({ path, view: 'data' }, 1);
    // It did not fit into a call with others.
    while (read.reply === 0) read = await this.#reads.submit({ path, view: 'data' }, 1);
    const { zxid, reply: answer } = read;
    if (!Buffer.isBuffer(answer)) throw decodeFailure('nodes/get', answer);
    const typeStart = readHeadBytes + answer[0]!;
    const dataStart = typeStart + answer.readUInt16BE(1);
    return {
      zxid,
      stat: decodeStat(answer.subarray(readHeadBytes, typeStart)),
      contentType: answer.toString('utf8', typeStart, dataStart),
      data: answer.subarray(dataStart),
    };
  }

  /** Reads a node's stat alone. @throws ServiceError NO_NODE (field `zxid`) */
  async stat(path: string): Promise<{ zxid: number; stat: Stat }> {
    const { zxid, reply: answer } = await this.#reads.submit({ path, view: 'stat' }, 1);
    if (!Buffer.isBuffer(answer)) throw decodeFailure('nodes/get', answer);
    return { zxid, stat: decodeStat(answer.subarray(readHeadBytes)) };
  }

  /**
   * One page of a node's children, in the byte order of their names.
   * @param page `after` = the name to start after; `limit` = most names
   * @returns `next` = the name to pass as `after` for the next page, if there is one
   * @throws ServiceError NO_NODE (field `zxid`)
   */
  async children(
    path: string,
    page: { after?: string | undefined; limit: number; stats?: boolean },
  ): Promise<{ zxid: number; stat: Stat; children: { name: string; stat?: Stat }[]; next: string | undefined }> {
    const withStats = page.stats ?? false;
    const args = [path, page.after ?? '', page.limit, withStats ? '1' : '0'];
    const weight = page.limit * (withStats ? 1 : nameWeight);
    const [zxid, stat, more, ...rest] = await this.#page('nodes/children', args, weight);
    const children: { name: string; stat?: Stat }[] = [];
    for (let i = 0; i < rest.length; i += withStats ? 2 : 1) {
      const name = text(rest[i]);
      children.push(withStats ? { name, stat: decodeStat(bytes(rest[i + 1])) } : { name });
    }
    const next = text(more) === '1' ? children.at(-1)?.name : undefined;
    return { zxid: integer(zxid), stat: decodeStat(bytes(stat)), children, next };
  }

  /** The names of all children, however many, in pages behind the scenes: for the broker's own small directories. */
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
   * Removes containers and TTL nodes that are due: one step, of at most `limit` nodes.
   * @param unusedContainerMs how long a container that never had a child is kept
   */
  async expireNodes(limit: number, unusedContainerMs: number): Promise<{ looked: number; removed: number }> {
    const args = [limit, unusedContainerMs, this.limits.eventRetention];
    const [looked, removed] = await this.#connection.call('nodes/expire', this.#keys.root, args);
    return { looked: integer(looked), removed: integer(removed) };
  }

  /**
   * The subtree of a node at one moment.
   * @param bounds `depth` = levels below it; `limit` = most nodes in all
   * @returns `truncated` on each node whose children are not all there, and for the whole
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

  /** @param nodes how many it may have */
  #page(script: 'nodes/children' | 'nodes/tree', args: (string | number)[], nodes: number): Promise<ReplyValue[]> {
    const call = () => this.#connection.call(script, this.#keys.root, args);
    return nodes > smallPage ? this.#pages.run(call, nodes) : call();
  }
}

/** What a script answered to one of several requests, where that was no success. */
function decodeFailure(script: string, answer: ReplyValue): Error {
  try {
    decodeReply(script, answer);
  } catch (error) {
    return error as Error;
  }
  return new Error(`Script ${script} answered OK where it has nothing to say`);
}

/**
 * Of a write request: its operations, and its bytes, 16 KiB of which cost about as much as one more. A recursive delete may
 * take a tenth of a second by itself, so it fills a call.
 */
function weightOf(operations: readonly Step[]): number {
  if (operations.some(({ op }) => op === 'delete-recursive')) return operationsPerCallMax;
  return operations.length + transactionBytes(operations) / 32_768;
}

/** Builds nested nodes from the script's list of path and stat, parents before children. */
function nest(path: string, rest: ReplyValue[]): { tree: TreeNode; truncated: boolean } {
  const byPath = new Map<string, TreeNode>();
  for (let i = 0; i < rest.length; i += 2) {
    const at = text(rest[i]);
    const node: TreeNode = { name: at === path ? at : nameOf(at), stat: decodeStat(bytes(rest[i + 1])) };
    byPath.set(at, node);
    if (at === path) continue;
    const parent = byPath.get(at.slice(0, at.lastIndexOf('/')) || '/')!;
    parent.children ??= [];
    parent.children.push(node);
  }
  let truncated = false;
  for (const node of byPath.values()) {
    if ((node.children?.length ?? 0) < node.stat.numChildren) {
      node.truncated = true;
      truncated = true;
    }
  }
  return { tree: byPath.get(path)!, truncated };
}
