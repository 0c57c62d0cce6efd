// The words of a policy: what may be done (verbs), and to which kind of thing. docs/security.md explains them.

const verbs = ['read', 'write', 'delete', 'use', 'manage'] as const;
export type Verb = (typeof verbs)[number];

/** The kinds of things that rules name, with the verbs that exist for each. */
export const verbsOf = {
  /** Nodes of the tree. */
  nodes: ['read', 'write', 'delete'],
  topics: ['read', 'write', 'manage'],
  groups: ['use', 'manage'],
  /** Names of producers. */
  producers: ['use'],
} as const satisfies Record<string, readonly Verb[]>;
export type Kind = keyof typeof verbsOf;

/** What anonymous clients, or an identity, may read besides. */
export const publicThings = ['docs', 'metrics'] as const;
export type PublicThing = (typeof publicThings)[number];

/** One thing that a request touches. `name` = the path of a node, or a name. */
export interface Resource {
  kind: Kind;
  name: string;
}

/** The word for one thing of a kind, for texts. */
export function nounOf(kind: Kind): string {
  return kind.slice(0, -1);
}

/** A set of verbs as bits, so that many rules are merged into one number. */
export type VerbSet = number;

const bits: Record<Verb, number> = { read: 1, write: 2, delete: 4, use: 8, manage: 16 };

export function setOf(list: Iterable<Verb>): VerbSet {
  let set = 0;
  for (const verb of list) set |= bits[verb];
  return set;
}

export function includes(set: VerbSet, verb: Verb): boolean {
  return (set & bits[verb]) !== 0;
}
