// What each watch is told of a transaction, and how that looks in JSON. It holds no watches: watch-hub.ts does.
import type { WatchEvent, WatchMode } from '../../../schemas/watch.ts';
import { toJsonData, toTruncatedJsonData } from '../../core/json-data.ts';
import { parentOf } from '../../core/tree/path.ts';
import type { NodeEvent, Transaction } from '../../store/tree/node-codec.ts';

/**
 * The modes of watches, and what a long poll waits for besides them: a change of the node's content, of its list of children, or of
 * that and its children's stats.
 */
export type Interest = WatchMode | 'content' | 'list' | 'page';

/** What is told of a node itself; `below` = the changes of everything below it, `child` = those of its children's stats. */
type ChangeKind = 'created' | 'changed' | 'deleted' | 'children' | 'child' | 'below';

const interests: Record<Interest, ReadonlySet<ChangeKind>> = {
  node: new Set(['created', 'changed', 'deleted', 'children']),
  // As ZooKeeper's child watch, which also hears that the node itself is gone (docs/zookeeper.md, Watches).
  children: new Set(['deleted', 'children']),
  recursive: new Set(['created', 'changed', 'deleted', 'below']),
  content: new Set(['created', 'changed', 'deleted']),
  list: new Set(['created', 'deleted', 'children']),
  page: new Set(['created', 'changed', 'deleted', 'children', 'child']),
};

/** Watches with the same three words are told the same. */
export interface Subscription {
  readonly path: string;
  readonly interest: Interest;
  /** Whether events carry the data as it was written. */
  readonly data: boolean;
}

/** What a subscription is told of one transaction. */
export interface MatchedEvents {
  readonly count: number;
  /** About how many bytes its JSON has. */
  readonly size: number;
  /** The events as a JSON array; made at the first call, and kept. */
  json(): string;
}

/** About what an event's JSON has beside path and data. */
const statBytes = 250;

const offsetsPath = /^\/consumers\/[^/]+\/offsets(?=\/|$)/;

/** Which history a watcher of `path` follows: the one on committed offsets only at or below /consumers/{group}/offsets. */
export function historyOf(path: string): 'main' | 'both' {
  return offsetsPath.test(path) ? 'both' : 'main';
}

/**
 * Finds for each subscription what it is told of a transaction: in the order of the changes, a node's `children` behind
 * the last change of its list. An event costs a look at each of its ancestors, however many watches there are.
 * @param at the subscriptions on exactly that path
 * @param json of the events of this transaction, as far as others have needed it already
 */
export function matchTransaction<S extends Subscription>(
  transaction: Transaction,
  at: (path: string) => Iterable<S> | undefined,
  json: EventJson = new EventJson(),
): Map<S, MatchedEvents> {
  const { events } = transaction;
  const matched = new Map<S, Match>();
  const tell = (path: string, tidings: ChangeKind, event: NodeEvent | undefined) => {
    for (const subscription of at(path) ?? []) {
      if (!interests[subscription.interest].has(tidings)) continue;
      let match = matched.get(subscription);
      if (!match) {
        match = new Match(subscription, json);
        matched.set(subscription, match);
      }
      match.add(event);
    }
  };
  // Several changes of one list are one `children`: a list that was read since then is the final one.
  const lastOfList = new Map<string, number>();
  for (const [index, { kind, path }] of events.entries()) {
    if (kind !== 'changed' && path !== '/') lastOfList.set(parentOf(path), index);
  }
  for (const [index, event] of events.entries()) {
    const { kind, path } = event;
    tell(path, kind, event);
    if (path === '/') continue;
    const parent = parentOf(path);
    // Offset commits would drown whoever watches from above, so they are told no higher than the offsets' own root.
    const top = isCommittedOffset(path) ? offsetsPath.exec(path)![0] : '/';
    for (let above = parent; ; above = parentOf(above)) {
      tell(above, 'below', event);
      if (above === top) break;
    }
    // A child's stat changes with its data, and with its own list of children.
    if (kind === 'changed') tell(parent, 'child', event);
    else if (parent !== '/') tell(parentOf(parent), 'child', event);
    if (lastOfList.get(parent) === index) tell(parent, 'children', undefined);
  }
  return matched;
}

/** Every path on which a watch could match one of the transaction's events. */
export function* pathsOf(transaction: Transaction): Generator<string> {
  const seen = new Set<string>();
  for (const { path } of transaction.events) {
    // Whoever is above what was seen was seen, too.
    for (let at = path; !seen.has(at); at = parentOf(at)) {
      seen.add(at);
      yield at;
      if (at === '/') break;
    }
  }
}

/** What one subscription is told of a transaction, if anything. */
export function matchOne(transaction: Transaction, subscription: Subscription): MatchedEvents | undefined {
  const own = [subscription];
  return matchTransaction(transaction, (path) => (path === subscription.path ? own : undefined)).get(subscription);
}

/** Whether it lies below /consumers/{group}/offsets: the root itself is in the main history (lua/lib/txn.lua). */
function isCommittedOffset(path: string): boolean {
  const root = offsetsPath.exec(path)?.[0];
  return root !== undefined && path.length > root.length;
}

class Match implements MatchedEvents {
  readonly #subscription: Subscription;
  readonly #json: EventJson;
  /** In order; undefined is the `children` of the subscription's own path. */
  readonly #events: (NodeEvent | undefined)[] = [];
  #size = 0;
  #text: string | undefined;

  constructor(subscription: Subscription, json: EventJson) {
    this.#subscription = subscription;
    this.#json = json;
  }

  get count(): number {
    return this.#events.length;
  }

  get size(): number {
    return this.#size;
  }

  add(event: NodeEvent | undefined): void {
    this.#events.push(event);
    this.#size += event ? event.path.length + statBytes + (this.#subscription.data ? (event.data?.length ?? 0) : 0) : 0;
  }

  json(): string {
    const { path, data } = this.#subscription;
    this.#text ??= `[${this.#events
      .map((event) => (event ? this.#json.of(event, data) : JSON.stringify({ type: 'children', path })))
      .join(',')}]`;
    return this.#text;
  }
}

/** The JSON of each event of one transaction, made once for all subscriptions that are told of it. */
export class EventJson {
  readonly #plain = new Map<NodeEvent, string>();
  readonly #withData = new Map<NodeEvent, string>();

  of(event: NodeEvent, withData: boolean): string {
    const made = withData ? this.#withData : this.#plain;
    let text = made.get(event);
    if (text === undefined) {
      text = JSON.stringify(watchEvent(event, withData));
      made.set(event, text);
    }
    return text;
  }
}

function watchEvent(event: NodeEvent, withData: boolean): WatchEvent {
  const { kind, path, stat, data, contentType } = event;
  const shown: WatchEvent = { type: kind, path, stat };
  if (!withData || data === undefined) return shown;
  const isCut = data.length < stat.dataLength;
  Object.assign(shown, isCut ? toTruncatedJsonData(data) : toJsonData(data));
  if (contentType !== undefined) shown.contentType = contentType;
  if (isCut) shown.truncated = true;
  return shown;
}
