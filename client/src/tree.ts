// The tree: nodes as in ZooKeeper. Calls take effect in the order in which they are made, also without waiting for each other.
import { isWeirError } from './errors.ts';
import type { Link, LinkRequest } from './link.ts';
import { type DataInput, dataFields, TreeNode } from './node-data.ts';
import type { Duration } from './time.ts';
import type { ImportOptions, NodeSource } from './transfer.ts';
import { Watch } from './watch.ts';
import type {
  Children,
  CopyResult,
  CreatedNode,
  ExportEnd,
  ImportResult,
  Multi,
  MultiResult,
  NodeLine,
  NodeStat,
  Stat,
} from './wire.ts';

export interface CallOptions {
  /** Ends the wait; what was sent may still take effect. */
  signal?: AbortSignal | undefined;
}

export interface ReadOptions extends CallOptions {
  /** local: from the memory of the broker, some milliseconds old, never older than what this client has seen or written. */
  read?: 'local';
}

export interface CreateOptions extends CallOptions {
  /** Default: persistent. ephemeral: deleted with the session. container: deleted once it has become empty. */
  mode?: 'persistent' | 'ephemeral' | 'container' | 'ttl';
  /** For `mode: 'ttl'`. */
  ttl?: Duration;
  contentType?: string;
  /** Create missing parents as persistent nodes. */
  parents?: boolean;
}

/** Which state of a node a change expects; `BAD_VERSION` if it has another one. */
export interface Expected {
  version?: number;
  /** Better than a version: it tells a node from one that was deleted and created again. */
  mzxid?: number;
}

export interface SetOptions extends CallOptions, Expected {
  contentType?: string;
  /** Create the node, and its parents, if it does not exist. */
  create?: boolean;
}

export interface RemoveOptions extends CallOptions, Expected {
  /** Also everything below, in one transaction. */
  recursive?: boolean;
}

/** The children of a node, sorted by name. */
export interface ChildrenPage {
  names: string[];
  /** Pass it as `after` for the next page; undefined on the last. */
  next: string | undefined;
  stat: Stat;
  /** The transaction that the list reflects: watch since it, and no change is missed. */
  zxid: number;
}

export class Tree {
  readonly #link: Link;

  constructor(link: Link) {
    this.#link = link;
  }

  /** The data and stat of a node; undefined if it does not exist. */
  async get(path: string, { signal, ...rest }: ReadOptions = {}): Promise<TreeNode | undefined> {
    return orUndefined(
      this.#ask<ConstructorParameters<typeof TreeNode>[0]>({ op: 'get', path, ...rest }, signal).then(
        ({ ok }) => new TreeNode(ok),
      ),
    );
  }

  /** The data of a node read as JSON; undefined if it does not exist. @throws SyntaxError */
  async getJson<T = unknown>(path: string, options?: ReadOptions): Promise<T | undefined> {
    return (await this.get(path, options))?.json<T>();
  }

  /** The stat of a node; undefined if it does not exist. */
  async stat(path: string, { signal, ...rest }: ReadOptions = {}): Promise<Stat | undefined> {
    return (await this.#ask<{ stat?: Stat }>({ op: 'exists', path, ...rest }, signal)).ok.stat;
  }

  /** Whether a node exists. */
  async exists(path: string, options?: ReadOptions): Promise<boolean> {
    return (await this.stat(path, options)) !== undefined;
  }

  /** One page of the names of a node's children, by default of up to 10,000. @throws WeirError NO_NODE */
  async children(
    path: string,
    { signal, limit = 10_000, ...rest }: ReadOptions & { limit?: number; after?: string | undefined } = {},
  ): Promise<ChildrenPage> {
    const { ok, zxid } = await this.#ask<Children>({ op: 'children', path, limit, ...rest }, signal);
    return { names: ok.children as string[], next: ok.next, stat: ok.stat, zxid };
  }

  /** The paths of a node and of everything below it, parents first. Changes meanwhile are seen or not. */
  async *walk(path: string, options: ReadOptions = {}): AsyncGenerator<string, void, undefined> {
    yield path;
    let after: string | undefined;
    do {
      const page = await orUndefined(this.children(path, { ...options, limit: 1000, after }));
      for (const name of page?.names ?? []) yield* this.walk(path === '/' ? `/${name}` : `${path}/${name}`, options);
      after = page?.next;
    } while (after !== undefined);
  }

  /** Creates a node. @throws WeirError NODE_EXISTS, NO_PARENT */
  async create(path: string, data?: DataInput, { signal, contentType, ...rest }: CreateOptions = {}): Promise<Stat> {
    return (await this.#ask<NodeStat>({ op: 'create', path, ...dataFields(data, contentType), ...rest }, signal)).ok
      .stat;
  }

  /** Creates a node whose name is `prefix` and a number of ten digits, which its parent counts. */
  async createSequential(
    prefix: string,
    data?: DataInput,
    { signal, contentType, ...rest }: CreateOptions = {},
  ): Promise<CreatedNode> {
    const request = {
      op: 'create',
      path: prefix,
      sequential: true,
      ...dataFields(data, contentType),
      ...rest,
    } as const;
    return (await this.#ask<CreatedNode>(request, signal)).ok;
  }

  /** Sets the data of a node. @throws WeirError NO_NODE, BAD_VERSION */
  async set(
    path: string,
    data: DataInput,
    { signal, contentType, create = false, ...expected }: SetOptions = {},
  ): Promise<Stat> {
    const fields = dataFields(data, contentType);
    for (;;) {
      try {
        return (await this.#ask<NodeStat>({ op: 'set', path, ...fields, ...expected }, signal)).ok.stat;
      } catch (error) {
        if (!create || !isWeirError(error, 'NO_NODE')) throw error;
      }
      try {
        return (await this.#ask<NodeStat>({ op: 'create', path, ...fields, parents: true }, signal)).ok.stat;
      } catch (error) {
        // Another client was faster: set it then.
        if (!isWeirError(error, 'NODE_EXISTS')) throw error;
      }
    }
  }

  /** Deletes a node. @throws WeirError NO_NODE, NOT_EMPTY, BAD_VERSION */
  async remove(path: string, { signal, ...rest }: RemoveOptions = {}): Promise<void> {
    await this.#ask({ op: 'delete', path, ...rest }, signal);
  }

  /**
   * The nodes of a subtree with their data, parents first, without ephemeral ones; each as `JSON.stringify` makes a line of it. Over HTTP.
   * @returns what was counted, when all is read. @throws WeirError also if the transfer breaks: then begin again
   */
  async *export(path: string, options?: CallOptions): AsyncGenerator<NodeLine, ExportEnd, undefined> {
    return yield* (await transfers()).exportNodes(this.#link.http, path, options);
  }

  /**
   * Creates nodes from an export, or from other lines, parents first. Over HTTP, in parts, each a transaction, or a few; a part is sent again
   * until it has a result.
   * @throws WeirError of the first node that fails; `fields.line` counts from 1, `fields.applied` has what was done before
   */
  async import(source: NodeSource, options?: ImportOptions): Promise<ImportResult> {
    return (await transfers()).importNodes(this.#link.http, source, options);
  }

  /** Copies a node and everything below it, or moves it, in one transaction. Over HTTP. @throws WeirError NODE_EXISTS, TOO_LARGE */
  async copy(from: string, to: string, options?: CallOptions & { move?: boolean }): Promise<CopyResult> {
    return (await transfers()).copyNodes(this.#link.http, { from, to }, options);
  }

  /** Collects changes and checks that succeed or fail together: `multi().check('/a', { version: 3 }).set('/b', 'x').commit()`. */
  multi(): Transaction {
    return new Transaction(async (ops, signal) => (await this.#ask<MultiResult>({ op: 'multi', ops }, signal)).ok);
  }

  /**
   * Waits until a node exists, is gone, or satisfies a condition, and returns it as it was then.
   * @param options.until default: 'exists'
   */
  async waitFor(
    path: string,
    {
      until = 'exists',
      signal,
    }: CallOptions & { until?: 'exists' | 'gone' | ((node: TreeNode | undefined) => boolean) } = {},
  ): Promise<TreeNode | undefined> {
    const isMet =
      typeof until === 'function'
        ? until
        : (node: TreeNode | undefined) => (node !== undefined) === (until === 'exists');
    const watch = new Watch(this.#link, path, { onCompacted: 'resync', ...(signal && { signal }) });
    try {
      await watch.started;
      for (;;) {
        const node = await this.get(path, { signal });
        if (isMet(node)) return node;
        if ((await watch.next()).done) signal?.throwIfAborted();
      }
    } finally {
      await watch.return();
    }
  }

  #ask<T>(request: LinkRequest, signal: AbortSignal | undefined) {
    return this.#link.request<T>(request, { signal });
  }
}

/** Few programs need them, so they are loaded when they are. */
const transfers = () => import('./transfer.ts');

type Op = Multi['ops'][number];

/** Changes and checks that take effect together, or not at all. */
export class Transaction {
  readonly #ops: Op[] = [];
  readonly #send: (ops: Op[], signal: AbortSignal | undefined) => Promise<MultiResult>;

  constructor(send: (ops: Op[], signal: AbortSignal | undefined) => Promise<MultiResult>) {
    this.#send = send;
  }

  /** Requires that a node exists, or does not, or has this version, mzxid or czxid. */
  check(path: string, expected: Expected & { czxid?: number; exists?: boolean } = { exists: true }): this {
    return this.#add({ op: 'check', path, ...expected });
  }

  create(
    path: string,
    data?: DataInput,
    { contentType, ...rest }: Omit<CreateOptions, 'signal' | 'parents'> & { sequential?: boolean } = {},
  ): this {
    return this.#add({ op: 'create', path, ...dataFields(data, contentType), ...rest });
  }

  set(path: string, data: DataInput, { contentType, ...expected }: Expected & { contentType?: string } = {}): this {
    return this.#add({ op: 'set', path, ...dataFields(data, contentType), ...expected });
  }

  remove(path: string, expected: Expected = {}): this {
    return this.#add({ op: 'delete', path, ...expected });
  }

  /**
   * Carries all of them out in one transaction.
   * @throws WeirError of the first one that fails; `fields.failed` is its index
   */
  commit({ signal }: CallOptions = {}): Promise<MultiResult> {
    return this.#send(this.#ops, signal);
  }

  #add(op: Op): this {
    this.#ops.push(op);
    return this;
  }
}

async function orUndefined<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    if (isWeirError(error, 'NO_NODE')) return undefined;
    throw error;
  }
}
