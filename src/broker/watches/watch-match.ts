// Finds the matched events of a transaction for each subscription, and their JSON. It has no state: watch-hub.ts holds the
// watchers.
import type { WatchEvent, WatchMode } from '../../../schemas/watch.ts';
import { toJsonData, toTruncatedJsonData } from '../../core/json-data.ts';
import { parentOf } from '../../core/tree/path.ts';
import type { NodeEvent, Transaction } from '../../store/tree/node-codec.ts';

/**
 * What a subscription matches: the mode of a watch; or, for a long poll, a change of the node's content, of its list of children
 * (`list`), or of that list and the stats of the children (`page`).
 */
export type Interest = WatchMode | 'content' | 'list' | 'page';

/** How a change concerns a node: it is the node's own; `below` = of a descendant; `child` = of a child's stat. */
type ChangeKind = 'created' | 'changed' | 'deleted' | 'children' | 'child' | 'below';

const interests: Record<Interest, ReadonlySet<ChangeKind>> = {
  node: new Set(['created', 'changed', 'deleted', 'children']),
  // As ZooKeeper's child watch, which also fires when the node itself is deleted.
  children: new Set(['deleted', 'children']),
  recursive: new Set(['created', 'changed', 'deleted', 'below']),
  content: new Set(['created', 'changed', 'deleted']),
  list: new Set(['created', 'deleted', 'children']),
  page: new Set(['created', 'changed', 'deleted', 'children', 'child']),
};

/** Watchers with equal subscriptions have the same matched events. */
export interface Subscription {
  readonly path: string;
  readonly interest: Interest;
  /** Whether events carry the data that was written. */
  readonly data: boolean;
  /** Of a recursive watch whose client may not read all nodes there: which it may. Equal watchers have the same function. */
  readonly mayRead?: ((path: string) => boolean) | undefined;
}

/** Whether two subscriptions on the same path match the same events. */
export function isEqual(a: Subscription, b: Subscription): boolean {
  return a.interest === b.interest && a.data === b.data && a.mayRead === b.mayRead;
}

/** The events of one transaction that a subscription matches. */
export interface MatchedEvents {
  /** Of the transaction. */
  readonly zxid: number;
  readonly count: number;
  /** About how many bytes its JSON has. */
  readonly size: number;
  /** The events as a JSON array; made once. */
  json(): string;
  /** The message that brings the events to a client; made once for all clients that are sent the same. */
  message(form: MessageForm): Buffer;
}

/** How one kind of client is sent events. */
export interface MessageForm {
  /** The same for all clients that are sent the same. */
  readonly key: string;
  /** @param events of the whole transaction, as a JSON array */
  make(zxid: number, events: string): Buffer;
}

/** With how many others the matched events of a client are compared whose policy hides nodes. Most policies hide the same. */
const differentMax = 8;
/** How many messages are kept for the events of a transaction. Most clients give their watches the same few ids. */
const messagesMax = 8;

/** About how many bytes an event's JSON has besides path and data. */
const statBytes = 250;

const offsetsPath = /^\/consumers\/[^/]+\/offsets(?=\/|$)/;

/** Which history a watcher of `path` follows: committed offsets only at or below /consumers/{group}/offsets. */
export function historyOf(path: string): 'main' | 'both' {
  return offsetsPath.test(path) ? 'both' : 'main';
}

/**
 * Finds the matched events of a transaction for each subscription: in the order of the changes, the `children` event of a node
 * behind the last change of its list. An event costs one look-up for each of its ancestors, however many watchers there are.
 * @param at returns the subscriptions on exactly that path
 * @param json the JSON of this transaction's events as far as it was made already
 */
export function matchTransaction<S extends Subscription>(
  transaction: Transaction,
  at: (path: string) => Iterable<S> | undefined,
  json: EventJson = new EventJson(),
): Map<S, MatchedEvents> {
  const { events } = transaction;
  const matched = new Map<S, Match>();
  const match = (path: string, change: ChangeKind, event: NodeEvent | undefined) => {
    for (const subscription of at(path) ?? []) {
      if (!interests[subscription.interest].has(change)) continue;
      if (event && subscription.mayRead?.(event.path) === false) continue;
      let found = matched.get(subscription);
      if (!found) {
        found = new Match(transaction.zxid, subscription, json);
        matched.set(subscription, found);
      }
      found.add(event);
    }
  };
  // Several changes of one list make one `children` event, behind the last: a client that then reads sees the final list.
  const lastOfList = new Map<string, number>();
  for (const [index, { kind, path }] of events.entries()) {
    if (kind !== 'changed' && path !== '/') lastOfList.set(parentOf(path), index);
  }
  for (const [index, event] of events.entries()) {
    const { kind, path } = event;
    match(path, kind, event);
    if (path === '/') continue;
    const parent = parentOf(path);
    // Committed offsets change so often that watchers above /consumers/{group}/offsets do not match them.
    const top = (isCommittedOffset(path) && offsetsPath.exec(path)?.[0]) || '/';
    for (let above = parent; ; above = parentOf(above)) {
      match(above, 'below', event);
      if (above === top) break;
    }
    // A child's stat changes with its data and with its list of children.
    if (kind === 'changed') match(parent, 'child', event);
    else if (parent !== '/') match(parentOf(parent), 'child', event);
    if (lastOfList.get(parent) === index) match(parent, 'children', undefined);
  }
  shareEqual(matched);
  return matched;
}

/** Lets the subscriptions share their matched events whose clients may read the same of them, and so the JSON and the messages of these. */
function shareEqual<S extends Subscription>(matched: Map<S, Match>): void {
  const different: Match[] = [];
  for (const [subscription, match] of matched) {
    if (!subscription.mayRead) continue;
    const equal = different.find((other) => other.equals(match));
    if (equal) matched.set(subscription, equal);
    else if (different.length < differentMax) different.push(match);
  }
}

/** Every path on which a watch could match one of the transaction's events. */
export function* pathsOf(transaction: Transaction): Generator<string> {
  const seen = new Set<string>();
  for (const { path } of transaction.events) {
    // The ancestors of a path that was seen were seen, too.
    for (let at = path; !seen.has(at); at = parentOf(at)) {
      seen.add(at);
      yield at;
      if (at === '/') break;
    }
  }
}

/** The matched events of one subscription; undefined if there are none. */
export function matchOne(transaction: Transaction, subscription: Subscription): MatchedEvents | undefined {
  const only = [subscription];
  return matchTransaction(transaction, (path) => (path === subscription.path ? only : undefined)).get(subscription);
}

/** Whether a path lies below /consumers/{group}/offsets; that node itself is in the main history (lua/lib/txn.lua). */
function isCommittedOffset(path: string): boolean {
  const root = offsetsPath.exec(path)?.[0];
  return root !== undefined && path.length > root.length;
}

class Match implements MatchedEvents {
  readonly zxid: number;
  readonly #subscription: Subscription;
  readonly #json: EventJson;
  /** In order; undefined = the `children` event of the subscription's path. */
  readonly #events: (NodeEvent | undefined)[] = [];
  #size = 0;
  #text: string | undefined;
  #messages: Map<string, Buffer> | undefined;

  constructor(zxid: number, subscription: Subscription, json: EventJson) {
    this.zxid = zxid;
    this.#subscription = subscription;
    this.#json = json;
  }

  get count(): number {
    return this.#events.length;
  }

  /** Whether both have the same events, in the same form. */
  equals(other: Match): boolean {
    const [own, others] = [this.#subscription, other.#subscription];
    return (
      own.path === others.path &&
      own.data === others.data &&
      this.#events.length === other.#events.length &&
      this.#events.every((event, index) => event === other.#events[index])
    );
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

  message(form: MessageForm): Buffer {
    const kept = this.#messages?.get(form.key);
    if (kept) return kept;
    const message = form.make(this.zxid, this.json());
    this.#messages ??= new Map();
    if (this.#messages.size < messagesMax) this.#messages.set(form.key, message);
    return message;
  }
}

/** The JSON of each event of one transaction, made once for all subscriptions that match it. */
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

/** An event as clients get it. @param withData whether it has the data that was written */
export function watchEvent(event: NodeEvent, withData: boolean): WatchEvent {
  const { kind, path, stat, data, contentType } = event;
  const shown: WatchEvent = { type: kind, path, stat };
  if (!withData || data === undefined) return shown;
  const isCut = data.length < stat.dataLength;
  Object.assign(shown, isCut ? toTruncatedJsonData(data) : toJsonData(data));
  if (contentType !== undefined) shown.contentType = contentType;
  if (isCut) shown.truncated = true;
  return shown;
}
