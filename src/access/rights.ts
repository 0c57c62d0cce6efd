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

/** Nodes of the service itself follow the things that they describe: reading them needs this. Writing them is refused to all. */
type Reserved = { verb: Verb; resource: Resource } | 'anyIdentity' | undefined;

/** @returns undefined if the node is not one of the service */
function reservedNode(path: string): Reserved {
  const [, top = '', second = '', third = ''] = path.split('/', 4);
  switch (top) {
    case 'consumers':
      return second === '' ? 'anyIdentity' : { verb: 'use', resource: { kind: 'groups', name: second } };
    case 'brokers':
    case 'config':
    case 'admin':
      if (third === '' || (second !== 'topics' && second !== 'delete_topics')) return 'anyIdentity';
      return { verb: 'read', resource: { kind: 'topics', name: third } };
    case 'controller':
    case 'controller_epoch':
    case 'cluster':
      return 'anyIdentity';
  }
  return undefined;
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
    // Any caller gets RESERVED_PATH for a write, as the paths are public knowledge.
    if (verb !== 'read' || reserved === 'anyIdentity') return true;
    return this.allows(reserved.verb, reserved.resource);
  }

  allowsSubtree(verb: Verb, path: string): boolean {
    if (this.isAdmin) return true;
    const reserved = reservedNode(path);
    if (reserved === undefined) return this.#nodes.allowsSubtree(verb, path);
    if (verb !== 'read') return true;
    return reserved !== 'anyIdentity' && this.allows(reserved.verb, reserved.resource);
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
  if (reserved !== undefined && reserved !== 'anyIdentity') return missingText(who, reserved.verb, reserved.resource);
  return `${who} needs ${verb} on ${nounOf(kind)} ${name}`;
}

/** A pattern for one identity: with its name in the place of `$identity`. */
export function withName(pattern: string, identity: string): string {
  return pattern.replaceAll('$identity', identity);
}
