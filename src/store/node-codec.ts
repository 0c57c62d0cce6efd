// How a node's stat and events look in the store, read into the shapes of the wire. The writing side is Lua:
// lua/lib/stat.lua and lua/lib/txn.lua.
import type { Stat } from '../../schemas/common.ts';

/** Reads the 13 words of a stored stat (lua/lib/stat.lua). */
export function decodeStat(stored: string): Stat {
  const words = stored.split(' ');
  if (words.length !== 13) throw new Error(`A stored stat has ${words.length} words, not 13: ${stored}`);
  const created = Number(words[6]);
  const numChildren = Number(words[9]);
  return {
    czxid: Number(words[0]),
    mzxid: Number(words[1]),
    pzxid: Number(words[2]),
    ctime: Number(words[3]),
    mtime: Number(words[4]),
    version: Number(words[5]),
    // Child creations and deletions together (zookeeper-semantics, 2E).
    cversion: 2 * created - numChildren,
    aversion: Number(words[7]),
    ephemeralOwner: words[10] === '-' ? null : words[10]!,
    dataLength: Number(words[8]),
    numChildren,
  };
}

export type EventKind = 'created' | 'changed' | 'deleted';

/** One change of one node. `data` is what was written, cut at 16 KiB; a deletion has none. */
export interface NodeEvent {
  kind: EventKind;
  path: string;
  stat: Stat;
  contentType: string | undefined;
  data: Buffer | undefined;
}

/** One transaction as watchers see it. `bytes` is its weight in memory. */
export interface Transaction {
  zxid: number;
  events: NodeEvent[];
  bytes: number;
}

/** Reads the `events` field of a stream entry (lua/lib/txn.lua, encode). */
export function decodeEvents(stored: Buffer): NodeEvent[] {
  const events: NodeEvent[] = [];
  let at = 0;
  while (at < stored.length) {
    const headEnd = stored.indexOf(10, at);
    const [kind, length] = stored.toString('latin1', at, headEnd).split(' ');
    const end = headEnd + 1 + Number(length);
    if (headEnd < 0 || !(end <= stored.length)) throw new Error('An entry of the event stream is cut short');
    events.push(decodeEvent(kind as EventKind, stored.subarray(headEnd + 1, end)));
    at = end;
  }
  return events;
}

function decodeEvent(kind: EventKind, value: Buffer): NodeEvent {
  const pathEnd = value.indexOf(10);
  const path = value.toString('utf8', 0, pathEnd);
  const statEnd = value.indexOf(10, pathEnd + 1);
  if (statEnd < 0) {
    return {
      kind,
      path,
      stat: decodeStat(value.toString('latin1', pathEnd + 1)),
      contentType: undefined,
      data: undefined,
    };
  }
  const typeEnd = value.indexOf(10, statEnd + 1);
  return {
    kind,
    path,
    stat: decodeStat(value.toString('latin1', pathEnd + 1, statEnd)),
    contentType: value.toString('utf8', statEnd + 1, typeEnd),
    data: value.subarray(typeEnd + 1),
  };
}
