// Reads of nodes from this broker's memory (guarantee N9): the newest state that the broker has received, as a ZooKeeper server
// replies from its own copy. What is not in memory is read from the store, and kept.
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { LargeRead } from '../../store/redis/concurrency-limiter.ts';
import type { Namespace } from '../../store/tree/namespace.ts';
import type { Metrics } from '../metrics.ts';
import type { EventTail } from './event-tail.ts';
import { cachedNamesMax, NodeCache, type NodeRead, pageOf } from './node-cache.ts';

/** Where the result of a read came from: this broker's memory, or the store. */
export type ReadSource = 'local' | 'store';

type NodeReads = Pick<Namespace, 'get' | 'stat' | 'children'>;
type Page = Awaited<ReturnType<Namespace['children']>>;

/** As NodeReads, at once: the result, or the error NO_NODE; undefined = memory has neither. */
type MemoryReads = {
  [M in keyof NodeReads]: (
    ...args: Parameters<NodeReads[M]>
  ) => Awaited<ReturnType<NodeReads[M]>> | ServiceError | undefined;
};

/** How one kind of read is done. */
interface ReadSteps<T> {
  fromMemory(cache: NodeCache, zxid: number): T | undefined;
  fromStore(): Promise<T>;
  /** What of a result of the store is kept. */
  kept(result: T): NodeRead;
}

interface LocalReadOptions {
  /** The result must reflect this transaction: the newest one that the caller has seen. */
  minZxid?: number | undefined;
  /** Called before a read returns, or fails with NO_NODE, with the source of the result. */
  served?: (source: ReadSource) => void;
  /** Reads large data from the store when it is their turn. */
  inTurn?: LargeRead;
}

/** Zxids beyond this differ in their epoch (docs/adr/003-epochs-in-zxids.md). */
const epochSize = 2 ** 32;
/**
 * How long a read waits until the broker has received a transaction, ms: mostly some milliseconds are enough, and the store can always
 * reply instead.
 */
const receiveWaitMs = 100;
/** Without news from the store for so long, ms, memory may be outdated. Also an idle store is asked every 2 s. */
const ageMsMax = 3000;
/** What was read so many transactions before they are received is not kept. Normally it is a few. */
const aheadMax = 1000;
/** At least so many names are read of a list that is not in memory, so that all of it can be kept. */
const namesRead = 1000;

export class LocalNodes {
  readonly #namespace: Namespace;
  readonly #tail: EventTail;
  /** Undefined = switched off. */
  readonly #cache: NodeCache | undefined;
  readonly #reads: Record<ReadSource, { inc(): void }>;
  /** The newest transaction that the store has shown to a caller before this broker received it: memory must not be older. */
  #shown = 0;

  /**
   * To be made before all other listeners of the tail: what they cause finds the memory up to date.
   * @param bytesMax how much memory nodes may use; 0 = none: all reads go to the store
   */
  constructor(namespace: Namespace, tail: EventTail, bytesMax: number, metrics: Metrics) {
    this.#namespace = namespace;
    this.#tail = tail;
    this.#cache = bytesMax > 0 ? new NodeCache(bytesMax) : undefined;
    const help = 'Reads with read=local, by where the result came from.';
    const reads = metrics.counter('local_reads_total', help, ['source']);
    this.#reads = { local: reads.labels('local'), store: reads.labels('store') };
    metrics.gauge('node_cache_bytes', 'Memory of the nodes kept for local reads.', () => this.#cache?.bytes ?? 0);
    metrics.gauge('node_cache_entries', 'Nodes kept for local reads.', () => this.#cache?.count ?? 0);
    if (!this.#cache) return;
    const cache = this.#cache;
    tail.subscribe((batch) => {
      try {
        cache.apply(batch);
      } catch (error) {
        cache.clear();
        throw error;
      }
    });
    tail.onGap((history) => {
      if (history !== 'main') return;
      cache.clear();
      this.#shown = 0;
    });
  }

  /**
   * Reads of one caller, as those of Namespace. Reads that are begun one after the other never go back in time, also if some are
   * served from memory and some by the store. A caller that begins one before the last has returned must give `minZxid`.
   */
  reads(options: LocalReadOptions = {}): NodeReads {
    return {
      get: (path) => this.#read(path, options, this.#data(path, options.inTurn)),
      stat: (path) => this.#read(path, options, this.#stat(path)),
      children: (path, page) => this.#read(path, options, this.#children(path, page)),
    };
  }

  /**
   * Reads that reply at once, with what is in memory.
   * @param minZxid the result must reflect this transaction
   * @returns results as those of reads(); undefined = memory cannot reply now, and reads() can
   */
  readsFromMemory(minZxid: number): MemoryReads {
    return {
      get: (path) => this.#fromMemory(path, minZxid, this.#data(path)),
      stat: (path) => this.#fromMemory(path, minZxid, this.#stat(path)),
      children: (path, page) => this.#fromMemory(path, minZxid, this.#children(path, page)),
    };
  }

  #data(path: string, inTurn?: LargeRead): ReadSteps<Awaited<ReturnType<NodeReads['get']>>> {
    return {
      fromMemory: (cache, zxid) => {
        const { stat, content } = cache.node(path, zxid) ?? {};
        return stat && content && { zxid, stat, ...content };
      },
      fromStore: () => this.#namespace.get(path, { inTurn }),
      kept: ({ zxid, stat, contentType, data }) => ({ zxid, stat, content: { contentType, data } }),
    };
  }

  #stat(path: string): ReadSteps<Awaited<ReturnType<NodeReads['stat']>>> {
    return {
      fromMemory: (cache, zxid) => {
        const stat = cache.node(path, zxid)?.stat ?? cache.list(path, zxid)?.stat;
        return stat && { zxid, stat };
      },
      fromStore: () => this.#namespace.stat(path),
      kept: ({ zxid, stat }) => ({ zxid, stat }),
    };
  }

  /** @param page without `stats` */
  #children(path: string, page: Parameters<Namespace['children']>[1]): ReadSteps<Page & { names?: string[] }> {
    const shown = ({ zxid, stat }: Pick<Page, 'zxid' | 'stat'>, names: readonly string[]): Page => {
      const { names: shownNames, next } = pageOf(names, page.after, page.limit);
      return { zxid, stat, children: shownNames.map((name) => ({ name })), next };
    };
    return {
      fromMemory: (cache, zxid) => {
        const list = cache.list(path, zxid);
        return list && shown({ zxid, stat: list.stat }, list.names);
      },
      fromStore: async () => {
        if (page.after || page.stats) return this.#namespace.children(path, page);
        const read = await this.#namespace.children(path, { limit: Math.max(page.limit, namesRead) });
        const names = read.children.map(({ name }) => name);
        // The list may go on behind what was read.
        if (read.next === undefined) return { ...shown(read, names), names };
        if (names.length <= page.limit) return read;
        return { ...read, children: read.children.slice(0, page.limit), next: names[page.limit - 1] };
      },
      kept: ({ zxid, stat, names }) =>
        names && names.length <= cachedNamesMax ? { zxid, stat, names } : { zxid, stat },
    };
  }

  async #read<T extends { zxid: number }>(
    path: string,
    { minZxid = 0, served }: LocalReadOptions,
    steps: ReadSteps<T>,
  ): Promise<T> {
    const cache = this.#cacheFor(path);
    if (cache && (await this.#received(Math.max(minZxid, this.#shown)))) {
      const found = this.#fromMemory(path, minZxid, steps);
      if (found) served?.('local');
      if (found instanceof ServiceError) throw found;
      if (found) return found;
    }
    const serve = () => {
      this.#reads.store.inc();
      served?.('store');
    };
    try {
      const result = await steps.fromStore();
      this.#keep(cache, path, steps.kept(result));
      await this.#show(result.zxid);
      serve();
      return result;
    } catch (error) {
      if (!hasCode(error, 'NO_NODE')) throw error;
      const zxid = Number((error as ServiceError).fields.zxid);
      this.#keep(cache, path, { zxid, stat: undefined });
      await this.#show(zxid);
      serve();
      throw error;
    }
  }

  /** What memory has of a node now; the error NO_NODE if there is no such node; undefined if memory cannot tell. */
  #fromMemory<T>(path: string, minZxid: number, { fromMemory }: ReadSteps<T>): T | ServiceError | undefined {
    const cache = this.#cacheFor(path);
    // Nothing is awaited between the reads of the position and of the memory.
    const zxid = this.#tail.position;
    if (!cache || zxid < minZxid || zxid < this.#shown || !this.#isCurrent) return undefined;
    const found = cache.isAbsent(path, zxid) ? noNode(path, zxid) : fromMemory(cache, zxid);
    if (found) this.#reads.local.inc();
    return found;
  }

  /** Undefined if a node is never in memory. */
  #cacheFor(path: string): NodeCache | undefined {
    return this.#cache?.keeps(path) ? this.#cache : undefined;
  }

  /** Whether the store had nothing newer a short time ago. */
  get #isCurrent(): boolean {
    return performance.now() - this.#tail.completeAt <= ageMsMax;
  }

  /** Waits shortly until this broker has received a transaction. */
  async #received(zxid: number): Promise<boolean> {
    if (zxid <= this.#tail.position) return true;
    // A new epoch begins without a transaction: the next one may be far off.
    if (!this.#isOfThisEpoch(zxid)) return false;
    return this.#tail.received(zxid, receiveWaitMs);
  }

  #isOfThisEpoch(zxid: number): boolean {
    return Math.floor(zxid / epochSize) === Math.floor(this.#tail.position / epochSize);
  }

  /** Sees to it that later reads reflect a transaction, before a result that reflects it is returned. */
  async #show(zxid: number): Promise<void> {
    if (!(await this.#received(zxid)) && zxid > this.#shown) this.#shown = zxid;
  }

  /** Keeps what the store replied, if it is certain which transactions are missing in it. */
  #keep(cache: NodeCache | undefined, path: string, read: NodeRead): void {
    // Of another epoch it may contain lost changes, which the transactions of this one do not undo.
    if (!cache || !this.#isCurrent || !this.#isOfThisEpoch(read.zxid)) return;
    const ahead = read.zxid - this.#tail.position;
    if (ahead > aheadMax) return;
    // If Redis loses the transaction before this broker has received it, that is a gap, and clears the memory.
    if (ahead > 0) this.#tail.noteSeen(read.zxid);
    const later = ahead > 0 ? [] : this.#tail.recent(read.zxid);
    if (later) cache.keep(path, read, later);
  }
}

/** As nodes/get.lua has it. */
function noNode(path: string, zxid: number): ServiceError {
  return new ServiceError('NO_NODE', `Node ${path} does not exist.`, { path, zxid });
}
