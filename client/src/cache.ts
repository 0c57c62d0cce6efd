// A live copy of a subtree: read once, then kept by a watch, without a gap between the two.
import { isWeirError, WeirError } from './errors.ts';
import type { Link } from './link.ts';
import { Listeners } from './listeners.ts';
import { TreeNode } from './node-data.ts';
import { Tree } from './tree.ts';
import { Watch } from './watch.ts';
import type { WatchEvent } from './wire.ts';

export interface CacheChange {
  type: 'created' | 'changed' | 'deleted';
  path: string;
  /** The node as it is now; undefined if it was deleted. */
  node: TreeNode | undefined;
}

/** One transaction, or what was found when the subtree was read anew: changes that are seen together. */
export interface CacheEvents {
  change: CacheChange[];
  error: unknown;
}

export interface CacheOptions {
  /** The cache fails with `TOO_LARGE` beyond so many nodes; default 100,000. */
  maxNodes?: number;
  signal?: AbortSignal;
}

export class Cache {
  readonly #tree: Tree;
  readonly #path: string;
  readonly #watch: Watch;
  readonly #nodesMax: number;
  readonly #nodes = new Map<string, TreeNode>();
  readonly #listeners = new Listeners<CacheEvents>();
  #zxid = 0;
  /** Resolves when the whole subtree was read. Rejects if it cannot be. */
  readonly ready: Promise<void>;

  constructor(link: Link, path: string, { maxNodes = 100_000, signal }: CacheOptions = {}) {
    this.#tree = new Tree(link);
    this.#path = path;
    this.#nodesMax = maxNodes;
    this.#watch = new Watch(link, path, {
      mode: 'recursive',
      data: true,
      onCompacted: 'resync',
      ...(signal && { signal }),
    });
    this.ready = this.#watch.started.then(() => this.#load());
    this.ready.then(
      () => this.#follow(),
      (error: unknown) => this.#fail(error),
    );
  }

  /** The newest transaction that the cache reflects. */
  get zxid(): number {
    return Math.max(this.#zxid, this.#watch.zxid ?? 0);
  }

  get size(): number {
    return this.#nodes.size;
  }

  /** A node of the subtree as the cache has it. Its stat is that of the last change of its data. */
  get(path: string): TreeNode | undefined {
    return this.#nodes.get(path);
  }

  has(path: string): boolean {
    return this.#nodes.has(path);
  }

  /** Paths and nodes, in no order. */
  [Symbol.iterator](): IterableIterator<[string, TreeNode]> {
    return this.#nodes.entries();
  }

  /** change: what one transaction has changed. error: the cache has ended. @returns ends it */
  on<Name extends keyof CacheEvents>(name: Name, listener: (value: CacheEvents[Name]) => void): () => void {
    return this.#listeners.on(name, listener);
  }

  async close(): Promise<void> {
    await this.#watch.return();
  }

  /** Reads the subtree, and tells what differs from what the cache had. */
  async #load(): Promise<void> {
    const found = new Map<string, TreeNode>();
    for await (const path of this.#tree.walk(this.#path)) {
      const node = await this.#tree.get(path);
      if (!node) continue;
      found.set(path, node);
      if (found.size > this.#nodesMax) throw this.#tooLarge();
    }
    const changes: CacheChange[] = [];
    for (const path of [...this.#nodes.keys()]) {
      if (!found.has(path)) changes.push(this.#remove(path));
    }
    for (const [path, node] of found) {
      const known = this.#nodes.get(path);
      if (known && known.stat.mzxid >= node.stat.mzxid) continue;
      this.#nodes.set(path, node);
      changes.push({ type: known ? 'changed' : 'created', path, node });
    }
    if (changes.length > 0) this.#listeners.emit('change', changes);
  }

  async #follow(): Promise<void> {
    try {
      for await (const { zxid, events, resync } of this.#watch) {
        if (resync) await this.#load();
        const changes: CacheChange[] = [];
        for (const event of events) {
          const change = await this.#apply(event, zxid);
          if (change) changes.push(change);
        }
        this.#zxid = zxid;
        if (changes.length > 0) this.#listeners.emit('change', changes);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** @returns undefined if the cache has something newer already, from reading the subtree */
  async #apply(event: WatchEvent, zxid: number): Promise<CacheChange | undefined> {
    const { type, path, stat, data, encoding = 'utf8', contentType = 'text/plain', truncated } = event;
    const known = this.#nodes.get(path);
    if (type === 'deleted') return known && known.stat.czxid < zxid ? this.#remove(path) : undefined;
    if (type === 'children' || !stat || (known && known.stat.mzxid >= stat.mzxid)) return undefined;
    const node =
      truncated || data === undefined
        ? await this.#tree.get(path)
        : new TreeNode({ path, data, encoding, contentType, stat });
    if (!node) return undefined;
    this.#nodes.set(path, node);
    if (this.#nodes.size > this.#nodesMax) throw this.#tooLarge();
    return { type: known ? 'changed' : 'created', path, node };
  }

  #remove(path: string): CacheChange {
    this.#nodes.delete(path);
    return { type: 'deleted', path, node: undefined };
  }

  #tooLarge(): WeirError {
    const detail = `${this.#path} has more than ${this.#nodesMax} nodes, the limit of this cache (maxNodes).`;
    return new WeirError({ code: 'TOO_LARGE', detail });
  }

  #fail(error: unknown): void {
    void this.#watch.return();
    if (!isWeirError(error, 'CLOSED')) this.#listeners.emit('error', error);
  }
}
