// Decodes the stored form of stats and events, which lua/lib/stat.lua and lua/lib/events.lua write.
import type { CreateMode, Stat } from '../../../schemas/common.ts';

/** The stored codes of the modes (lua/lib/stat.lua). */
export const modeCodes: Record<CreateMode, number> = { persistent: 1, ephemeral: 2, container: 3, ttl: 4 };

const modesByCode = new Map(Object.entries(modeCodes).map(([mode, code]) => [code, mode as CreateMode]));

/** The offset of the variable part: the owner of an ephemeral node, the time to live of one with mode ttl. */
const statTail = 61;

/** Decodes a stored stat. @throws Error if it is cut short */
export function decodeStat(stored: Buffer): Stat {
  if (stored.length < statTail) throw new Error(`A stored stat has ${stored.length} bytes, not ${statTail} or more`);
  const numChildren = stored.readUInt32BE(56);
  const mode = modesByCode.get(stored.readUInt8(statTail - 1));
  if (mode === undefined) throw new Error(`A stored stat has the unknown mode ${stored[statTail - 1]}`);
  const stat: Stat = {
    czxid: stored.readDoubleBE(0),
    mzxid: stored.readDoubleBE(8),
    pzxid: stored.readDoubleBE(16),
    ctime: stored.readDoubleBE(24),
    mtime: stored.readDoubleBE(32),
    version: stored.readInt32BE(48),
    // Child creations and deletions together (ZooKeeper's `cversion`).
    cversion: 2 * stored.readDoubleBE(40) - numChildren,
    aversion: 0,
    ephemeralOwner: mode === 'ephemeral' ? stored.toString('latin1', statTail) : null,
    dataLength: stored.readUInt32BE(52),
    numChildren,
    mode,
  };
  if (mode === 'ttl') stat.ttlMs = stored.readDoubleBE(statTail);
  return stat;
}

type EventKind = 'created' | 'changed' | 'deleted';

const eventKinds: readonly (EventKind | undefined)[] = [undefined, 'created', 'changed', 'deleted'];

/** One change of one node. `data` is the new data, cut at 16 KiB; undefined for a deletion. */
export interface NodeEvent {
  readonly kind: EventKind;
  readonly path: string;
  readonly stat: Stat;
  readonly contentType: string | undefined;
  readonly data: Buffer | undefined;
}

/** The events of one transaction. `bytes` is their stored size. */
export interface Transaction {
  zxid: number;
  events: NodeEvent[];
  bytes: number;
}

/** In the head of a stream entry: the zxid of its first transaction, and the bytes of the head. */
const firstZxidAt = 16;
const entryHead = 28;
/** The bytes before the events of a transaction, and before the parts of each event. */
const transactionHead = 8;
const eventHead = 12;

/**
 * Decodes the transactions of a stream entry: its field `events` (lua/lib/events.lua).
 * @param after only transactions with a higher zxid
 * @throws Error if it is cut short
 */
export function decodeEntry(stored: Buffer, after: number): Transaction[] {
  const transactions: Transaction[] = [];
  const first = stored.readDoubleBE(firstZxidAt);
  let at = entryHead;
  while (at < stored.length) {
    const zxid = first + stored.readUInt32BE(at);
    const begin = at + transactionHead;
    const end = begin + stored.readUInt32BE(at + 4);
    if (end > stored.length) throw new Error('An entry of the event stream is cut short');
    if (zxid > after) transactions.push({ zxid, events: decodeEvents(stored, begin, end), bytes: end - at });
    at = end;
  }
  return transactions;
}

/** Decodes the events in `stored` from position `begin` to `stop`. */
function decodeEvents(stored: Buffer, begin: number, stop: number): NodeEvent[] {
  const events: NodeEvent[] = [];
  let at = begin;
  while (at < stop) {
    const kind = eventKinds[stored.readUInt8(at)];
    const statEnd = at + eventHead + stored.readUInt8(at + 1);
    const typeEnd = statEnd + stored.readUInt16BE(at + 2);
    const pathEnd = typeEnd + stored.readUInt32BE(at + 4);
    const end = pathEnd + stored.readUInt32BE(at + 8);
    if (kind === undefined || end > stop) throw new Error('An entry of the event stream is cut short');
    events.push(new StoredEvent(kind, stored, { stat: at + eventHead, statEnd, typeEnd, pathEnd, end }));
    at = end;
  }
  return events;
}

interface EventOffsets {
  stat: number;
  statEnd: number;
  typeEnd: number;
  pathEnd: number;
  end: number;
}

/** Every broker receives every event, and most match no watch: stat and data are decoded only when they are read. */
class StoredEvent implements NodeEvent {
  readonly kind: EventKind;
  readonly path: string;
  readonly #stored: Buffer;
  readonly #at: EventOffsets;

  constructor(kind: EventKind, stored: Buffer, at: EventOffsets) {
    this.kind = kind;
    this.path = stored.toString('utf8', at.typeEnd, at.pathEnd);
    this.#stored = stored;
    this.#at = at;
  }

  get stat(): Stat {
    return decodeStat(this.#stored.subarray(this.#at.stat, this.#at.statEnd));
  }

  get contentType(): string | undefined {
    return this.kind === 'deleted' ? undefined : this.#stored.toString('utf8', this.#at.statEnd, this.#at.typeEnd);
  }

  get data(): Buffer | undefined {
    return this.kind === 'deleted' ? undefined : this.#stored.subarray(this.#at.pathEnd, this.#at.end);
  }
}
