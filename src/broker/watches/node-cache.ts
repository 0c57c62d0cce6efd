// Nodes in memory: stats, data and lists of children, least recently used first out. What is here was read from the store once, and
// every later transaction is applied to it, so that it is exactly what the store had after the newest one.
import { LRUCache } from 'lru-cache';
import type { Stat } from '../../../schemas/common.ts';
import { nameOf, parentOf } from '../../core/tree/path.ts';
import type { NodeEvent, Transaction } from '../../store/tree/node-codec.ts';

interface Content {
  readonly contentType: string;
  readonly data: Buffer;
}

/** What is known of a node. */
interface CachedNode {
  /** It includes all transactions up to this zxid, and later ones once the cache has received them. */
  readonly from: number;
  /** Undefined = there is no such node. */
  readonly stat: Stat | undefined;
  /** Undefined = not in memory. */
  readonly content: Content | undefined;
}

/** The names of all children of a node that exists, sorted. */
interface CachedList {
  readonly from: number;
  readonly stat: Stat;
  readonly names: string[];
  /** The memory that the names need. */
  readonly bytes: number;
}

interface Entry {
  readonly node?: CachedNode | undefined;
  readonly list?: CachedList | undefined;
}

/** What the store replied to a read: `zxid` = the newest transaction that it reflects. */
export type NodeRead = { zxid: number } & (
  | { stat: Stat | undefined; content?: Content }
  | { stat: Stat; names: string[] }
);

/** Longer lists are not kept, as each change of a list moves all names behind it. */
export const cachedNamesMax = 10_000;
/** One entry may take at most this share of the cache. */
const entryShareMax = 1 / 4;
/** What V8 and lru-cache need for an entry beside its texts and data. */
const entryOverheadBytes = 1024;
const nameOverheadBytes = 40;

/** Committed offsets have a history of their own, which may have gaps, and change too often to be worth their room. */
const committedOffsets = /^\/consumers\/[^/]+\/offsets(?:\/|$)/;

export class NodeCache {
  readonly #entries: LRUCache<string, Entry>;

  /** @param bytesMax how much memory it may use */
  constructor(bytesMax: number) {
    this.#entries = new LRUCache({
      maxSize: bytesMax,
      maxEntrySize: Math.max(1, Math.floor(bytesMax * entryShareMax)),
      sizeCalculation: (entry, path) => sizeOf(path, entry),
    });
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  get count(): number {
    return this.#entries.size;
  }

  clear(): void {
    this.#entries.clear();
  }

  /** Whether a node may be kept at all. */
  keeps(path: string): boolean {
    return !committedOffsets.test(path);
  }

  /** What is known of a node after the transaction `position`, the last one that was applied. */
  node(path: string, position: number): CachedNode | undefined {
    const node = this.#entries.get(path)?.node;
    return node && node.from <= position ? node : undefined;
  }

  /** Whether it is known that there is no such node. */
  isAbsent(path: string, position: number): boolean {
    const node = this.node(path, position);
    return node !== undefined && node.stat === undefined;
  }

  /** As node(), of the list of its children. */
  list(path: string, position: number): CachedList | undefined {
    const list = this.#entries.get(path)?.list;
    return list && list.from <= position ? list : undefined;
  }

  /**
   * Keeps what the store replied.
   * @param later all transactions after that of `read` which were applied already
   */
  keep(path: string, read: NodeRead, later: readonly Transaction[]): void {
    const before = this.#entries.peek(path);
    let entry = after(path, entryOf(read), later);
    // A stat alone must not displace the data.
    if (before?.node && !entry.node?.content) entry = { ...entry, node: before.node };
    this.#put(path, { node: entry.node ?? before?.node, list: entry.list ?? before?.list });
  }

  /** Applies transactions. @throws Error if one contradicts an entry */
  apply(transactions: readonly Transaction[]): void {
    for (const { zxid, events } of transactions) {
      for (const event of events) {
        const own = this.#entries.peek(event.path);
        if (own) this.#put(event.path, afterOwnChange(own, zxid, event));
        if (event.kind === 'changed' || event.path === '/') continue;
        const parent = parentOf(event.path);
        const above = this.#entries.peek(parent);
        if (above) this.#put(parent, afterChild(above, zxid, event));
      }
    }
  }

  #put(path: string, entry: Entry): void {
    if (entry.list && entry.list.names.length > cachedNamesMax) this.#put(path, { node: entry.node });
    else if (entry.node || entry.list) this.#entries.set(path, entry);
    else this.#entries.delete(path);
  }
}

function entryOf(read: NodeRead): Entry {
  const { zxid: from, stat } = read;
  if ('names' in read) {
    const names = read.names.map(ownText);
    return { list: { from, stat: read.stat, names, bytes: names.reduce((sum, name) => sum + nameBytes(name), 0) } };
  }
  return { node: { from, stat, content: read.content && ownContent(read.content.contentType, read.content.data) } };
}

/** An entry after transactions, of which few are about it. */
function after(path: string, entry: Entry, transactions: readonly Transaction[]): Entry {
  const below = path === '/' ? '/' : `${path}/`;
  let result = entry;
  for (const { zxid, events } of transactions) {
    for (const event of events) {
      if (event.path === path) result = afterOwnChange(result, zxid, event);
      else if (event.kind !== 'changed' && event.path.startsWith(below) && parentOf(event.path) === path)
        result = afterChild(result, zxid, event);
    }
  }
  return result;
}

/** An entry after a change of its own node. A transaction may have several. */
function afterOwnChange({ node, list }: Entry, zxid: number, event: NodeEvent): Entry {
  const isNodeNewer = node !== undefined && node.from >= zxid;
  return {
    node: isNodeNewer ? node : changedNode(node?.from ?? zxid - 1, event),
    list: list && list.from >= zxid ? list : changedList(list, zxid, event),
  };
}

function changedNode(from: number, event: NodeEvent): CachedNode {
  if (event.kind === 'deleted') return { from, stat: undefined, content: undefined };
  const { stat, contentType, data } = event;
  // Data of events are cut.
  const isWhole = contentType !== undefined && data?.length === stat.dataLength;
  return { from, stat, content: isWhole ? ownContent(contentType, data) : undefined };
}

function changedList(list: CachedList | undefined, zxid: number, event: NodeEvent): CachedList | undefined {
  if (event.kind === 'deleted') return undefined;
  if (event.kind === 'created') return { from: zxid - 1, stat: event.stat, names: [], bytes: 0 };
  return list && { ...list, stat: event.stat };
}

/** An entry after a child of its node was created or deleted. */
function afterChild({ node, list }: Entry, zxid: number, event: NodeEvent): Entry {
  return {
    node: node?.stat && node.from < zxid ? { ...node, stat: statAfterChild(node.stat, zxid, event) } : node,
    list: list && list.from < zxid ? listAfterChild(list, zxid, event) : list,
  };
}

/** The stat of a parent, as lua/lib/txn.lua changes it. */
function statAfterChild(stat: Stat, zxid: number, { kind }: NodeEvent): Stat {
  const numChildren = stat.numChildren + (kind === 'created' ? 1 : -1);
  return { ...stat, pzxid: zxid, cversion: stat.cversion + 1, numChildren };
}

function listAfterChild({ from, stat, names, bytes }: CachedList, zxid: number, event: NodeEvent): CachedList {
  const name = nameOf(event.path);
  const { index, found } = findName(names, name);
  if (found === (event.kind === 'created'))
    throw new Error(`A list of children ${found ? 'already has' : 'lacks'} a name that was ${event.kind}`);
  if (found) names.splice(index, 1);
  else names.splice(index, 0, ownText(name));
  const change = found ? -nameBytes(name) : nameBytes(name);
  return { from, stat: statAfterChild(stat, zxid, event), names, bytes: bytes + change };
}

/**
 * The place of a name in a sorted list. JavaScript's order is the byte order of Redis here, as paths have no surrogates.
 * @returns the index of the first name that does not come before `name`; `found` = whether it is `name`
 */
function findName(names: readonly string[], name: string): { index: number; found: boolean } {
  let [low, high] = [0, names.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = names[middle];
    if (other !== undefined && other < name) low = middle + 1;
    else high = middle;
  }
  return { index: low, found: names[low] === name };
}

/** A page of a sorted list. @returns `next` = the name to pass as `start` for the next page, if there is one */
export function pageOf(
  names: readonly string[],
  start: string | undefined,
  limit: number,
): { names: string[]; next: string | undefined } {
  const { index, found } = start ? findName(names, start) : { index: 0, found: false };
  const begin = found ? index + 1 : index;
  const page = names.slice(begin, begin + limit);
  return { names: page, next: begin + limit < names.length ? page.at(-1) : undefined };
}

/** A copy that does not keep the buffer alive of which `data` is a part: a reply, or a whole entry of the event stream. */
function ownContent(contentType: string, data: Buffer): Content {
  const copy = Buffer.allocUnsafeSlow(data.length);
  data.copy(copy);
  return { contentType: ownText(contentType), data: copy };
}

/** As ownContent(), of a text: V8 keeps the whole text alive of which one is a part. */
function ownText(text: string): string {
  return Buffer.from(text).toString();
}

function nameBytes(name: string): number {
  return 2 * name.length + nameOverheadBytes;
}

function sizeOf(path: string, { node, list }: Entry): number {
  return entryOverheadBytes + 2 * path.length + (node?.content?.data.length ?? 0) + (list?.bytes ?? 0);
}
