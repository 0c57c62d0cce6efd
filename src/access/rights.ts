// What one identity may do, compiled from the rules of a policy that name it.
import { NameRules } from './name-rules.ts';
import { NodeRules } from './node-rules.ts';
import type { Grant, Rule } from './policy-file.ts';
import { includes, nounOf, type PublicThing, type Resource, setOf, type Verb, type VerbSet } from './verbs.ts';

/** What a caller may do. */
export interface Rights {
  /** Every verb on everything, elections, and what belongs to others. */
  readonly isAdmin: boolean;
  /** @param verb one that exists for the kind of the resource */
  allows(verb: Verb, resource: Resource): boolean;
  /** Whether `verb` is allowed on the node at `path` and on everything below it. */
  allowsSubtree(verb: Verb, path: string): boolean;
  reads(thing: PublicThing): boolean;
}

/** The rights where there is no policy. */
export const openRights: Rights = {
  isAdmin: true,
  allows: () => true,
  allowsSubtree: () => true,
  reads: () => true,
};

/** The rights of an anonymous client under a policy. */
export function anonymousRights(things: readonly PublicThing[]): Rights {
  const readable = new Set(things);
  return {
    isAdmin: false,
    allows: () => false,
    allowsSubtree: () => false,
    reads: (thing) => readable.has(thing),
  };
}

/** The rights of a derived token: what it allows itself, and its parent may at the moment. */
export function narrowedRights(own: Rights, parent: Rights, anonymous: Rights): Rights {
  return {
    isAdmin: own.isAdmin && parent.isAdmin,
    allows: (verb, resource) => own.allows(verb, resource) && parent.allows(verb, resource),
    allowsSubtree: (verb, path) => own.allowsSubtree(verb, path) && parent.allowsSubtree(verb, path),
    reads: (thing) => parent.reads(thing) && (own.reads(thing) || anonymous.reads(thing)),
  };
}

/**
 * Nodes of the service itself follow the things that they describe: any operation needs this. Who has it gets RESERVED_PATH for a write; to
 * others the response would tell whether the thing exists.
 */
type Reserved = { verb: Verb; resource: Resource } | 'anyIdentity' | 'admin' | undefined;

/** What of the service's own nodes any identity may see, besides those of its topics and groups. */
const forAnyIdentity =
  /^\/(consumers|controller|controller_epoch|cluster(\/.*)?|brokers|brokers\/(topics|seqid)|brokers\/ids(\/.*)?|config|config\/topics|admin|admin\/delete_topics)$/;
const ofTopic = /^\/(?:brokers\/topics|config\/topics|admin\/delete_topics)\/([^/]+)/;
const ofGroup = /^\/consumers\/([^/]+)/;
const ofService = /^\/(?:consumers|controller|controller_epoch|cluster|brokers|config|admin)(?:\/|$)/;

/** The first two letters of their names, as one number. */
const beginnings = new Set(['co', 'cl', 'br', 'ad'].map((two) => (two.charCodeAt(0) << 8) | two.charCodeAt(1)));

/** @returns undefined if the node is not one of the service */
function reservedNode(path: string): Reserved {
  // Most nodes are not: a look at two letters costs less than an expression.
  if (!beginnings.has((path.charCodeAt(1) << 8) | path.charCodeAt(2)) || !ofService.test(path)) return undefined;
  const [, group] = ofGroup.exec(path) ?? [];
  if (group !== undefined) return { verb: 'use', resource: { kind: 'groups', name: group } };
  const [, topic] = ofTopic.exec(path) ?? [];
  if (topic !== undefined) return { verb: 'read', resource: { kind: 'topics', name: topic } };
  return forAnyIdentity.test(path) ? 'anyIdentity' : 'admin';
}

/** Rights by rules. Many rules are compiled into one structure for each kind, so that their number does not matter to a request. */
export class RuleRights implements Rights {
  readonly isAdmin: boolean;
  readonly #nodes = new NodeRules();
  readonly #names = { topics: new NameRules(), groups: new NameRules(), producers: new NameRules() };
  readonly #things: Set<PublicThing>;

  /**
   * @param identity stands for `$identity` in the patterns
   * @param rules those that name the identity, or all identities
   * @param things what everybody may read
   */
  constructor(identity: string, rules: readonly (Grant & Partial<Rule>)[], things: readonly PublicThing[]) {
    this.isAdmin = rules.some(({ admin }) => admin === true);
    this.#things = new Set([...things, ...rules.flatMap(({ read }) => read)]);
    for (const rule of rules) {
      for (const [pattern, verbs] of Object.entries(rule.nodes))
        this.#nodes.add(withName(pattern, identity), setOf(verbs));
      for (const kind of ['topics', 'groups', 'producers'] as const) {
        for (const [pattern, verbs] of Object.entries(rule[kind])) {
          this.#names[kind].add(withName(pattern, identity), setOf(verbs));
        }
      }
    }
  }

  allows(verb: Verb, { kind, name }: Resource): boolean {
    if (this.isAdmin) return true;
    if (kind !== 'nodes') return includes(this.#onName(kind, name), verb);
    const reserved = reservedNode(name);
    if (reserved === undefined) return this.#nodes.allows(verb, name);
    if (typeof reserved === 'string') return reserved === 'anyIdentity';
    return this.allows(reserved.verb, reserved.resource);
  }

  allowsSubtree(verb: Verb, path: string): boolean {
    if (this.isAdmin) return true;
    const reserved = reservedNode(path);
    if (reserved === undefined) return this.#nodes.allowsSubtree(verb, path);
    // Deleting it is refused to all; reading it would read what is below, too.
    if (typeof reserved === 'string') return reserved === 'anyIdentity' && verb !== 'read';
    return this.allows(reserved.verb, reserved.resource);
  }

  reads(thing: PublicThing): boolean {
    return this.isAdmin || this.#things.has(thing);
  }

  #onName(kind: 'topics' | 'groups' | 'producers', name: string): VerbSet {
    return this.#names[kind].on(name);
  }
}

/** `billing needs read on topic orders`: what is missing, as the policy would say it. */
export function missingText(who: string, verb: Verb, { kind, name }: Resource): string {
  const reserved = kind === 'nodes' ? reservedNode(name) : undefined;
  if (reserved === 'admin') return `${who} needs admin: true for node ${name}`;
  if (typeof reserved === 'object') return missingText(who, reserved.verb, reserved.resource);
  return `${who} needs ${verb} on ${nounOf(kind)} ${name}`;
}

/** A pattern for one identity: with its name in the place of `$identity`. */
export function withName(pattern: string, identity: string): string {
  return pattern.replaceAll('$identity', identity);
}
