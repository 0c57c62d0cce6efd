// Which verbs an identity has on which nodes: a trie by the names in the path, built once from the rules of a policy. A decision costs
// one step for each name of the path, however many rules there are; those on nodes that are often asked for are kept.
import { recentlyUsed } from '../core/recently-used.ts';
import { includes, type Verb, type VerbSet } from './verbs.ts';

interface Branch {
  /** Verbs on this node alone. */
  node: VerbSet;
  /** Verbs on each of its children, from `/a/*`. */
  children: VerbSet;
  /** Verbs on this node and everything below it, from `/a/**`. */
  subtree: VerbSet;
  below: Map<string, Branch>;
}

/**
 * The verbs that were found last, by the rules and the path: to find them once more costs a fifth. All identities share the room, as there
 * may be any number of them.
 */
const known = recentlyUsed<VerbSet>(20_000);
/** Characters of the paths for which they are kept. */
const knownLengthMax = 256;
let made = 0;

/** Says what is wrong with the pattern of a node; undefined if nothing is. */
export function nodePatternProblem(pattern: string): string | undefined {
  if (!pattern.startsWith('/')) return 'must begin with /';
  if (pattern === '/' || pattern === '/*' || pattern === '/**') return undefined;
  const names = pattern.slice(1).split('/');
  const last = names.at(-1);
  if (last === '*' || last === '**') names.pop();
  if (names.some((name) => name === '' || name === '.' || name === '..')) return 'must not have empty names, . or ..';
  if (names.some((name) => name.includes('*'))) return 'may have * or ** only as its last name: /a/* or /a/**';
  return undefined;
}

export class NodeRules {
  readonly #root: Branch = newBranch();
  /** The beginning of its keys in `known`; another one after each change. */
  #key = newKey();

  /** Adds a rule. @param pattern without problem: `/a`, `/a/*` or `/a/**` */
  add(pattern: string, verbs: VerbSet): void {
    const names = namesIn(pattern);
    const last = names.at(-1);
    const isWide = last === '*' || last === '**';
    if (isWide) names.pop();
    this.#key = newKey();
    let branch = this.#root;
    for (const name of names) {
      const next = branch.below.get(name) ?? newBranch();
      branch.below.set(name, next);
      branch = next;
    }
    if (last === '**') branch.subtree |= verbs;
    else if (last === '*') branch.children |= verbs;
    else branch.node |= verbs;
  }

  /** Whether `verb` is allowed on the node at `path`. */
  allows(verb: Verb, path: string): boolean {
    if (path.length > knownLengthMax) return includes(this.#verbsOn(path), verb);
    const key = this.#key + path;
    let verbs = known.get(key);
    if (verbs === undefined) {
      verbs = this.#verbsOn(path);
      known.set(key, verbs);
    }
    return includes(verbs, verb);
  }

  #verbsOn(path: string): VerbSet {
    let branch: Branch | undefined = this.#root;
    let inherited: VerbSet = branch.subtree;
    if (path === '/') return inherited | branch.node;
    let start = 1;
    for (;;) {
      const end = path.indexOf('/', start);
      const isLast = end < 0;
      const next: Branch | undefined = branch.below.get(isLast ? path.slice(start) : path.slice(start, end));
      if (isLast) return inherited | branch.children | (next ? next.node | next.subtree : 0);
      if (!next) return inherited;
      inherited |= next.subtree;
      branch = next;
      start = end + 1;
    }
  }

  /** Whether `verb` is allowed on the node at `path` and on everything below it, by rules that end in `/**`. */
  allowsSubtree(verb: Verb, path: string): boolean {
    let branch: Branch | undefined = this.#root;
    let inherited: VerbSet = branch.subtree;
    for (const name of namesIn(path)) {
      branch = branch.below.get(name);
      if (!branch) break;
      inherited |= branch.subtree;
    }
    return includes(inherited, verb);
  }
}

function newKey(): string {
  made += 1;
  return `${made} `;
}

function newBranch(): Branch {
  return { node: 0, children: 0, subtree: 0, below: new Map() };
}

function namesIn(path: string): string[] {
  return path === '/' ? [] : path.slice(1).split('/');
}
