// Which verbs an identity has on which names (of topics, groups, producers): names are looked up in a map, patterns with * are tried in
// turn, and the results for recent names are cached.
import { recentlyUsed } from '../core/recently-used.ts';
import type { VerbSet } from './verbs.ts';

/** How many names an identity's results are cached for, for each kind. */
const cachedNamesMax = 1000;

export class NameRules {
  readonly #exact = new Map<string, VerbSet>();
  readonly #patterns: { matches(name: string): boolean; verbs: VerbSet }[] = [];
  readonly #cache = recentlyUsed<VerbSet>(cachedNamesMax);

  /** Adds a rule. @param pattern a name; `*` in it stands for any text */
  add(pattern: string, verbs: VerbSet): void {
    if (pattern.includes('*')) this.#patterns.push({ matches: globOf(pattern), verbs });
    else this.#exact.set(pattern, (this.#exact.get(pattern) ?? 0) | verbs);
  }

  /** The verbs that are allowed on `name`. */
  on(name: string): VerbSet {
    const exact = this.#exact.get(name) ?? 0;
    if (this.#patterns.length === 0) return exact;
    const known = this.#cache.get(name);
    if (known !== undefined) return known;
    let set = exact;
    for (const { matches, verbs } of this.#patterns) if ((set | verbs) !== set && matches(name)) set |= verbs;
    this.#cache.set(name, set);
    return set;
  }
}

/** A test for names. It looks for each part of the pattern once, from left to right, so no pattern is slow. */
function globOf(pattern: string): (name: string) => boolean {
  const [first = '', ...rest] = pattern.split(/\*+/);
  const last = rest.pop() ?? '';
  return (name) => {
    if (!name.startsWith(first)) return false;
    let at = first.length;
    for (const part of rest) {
      const found = name.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return name.length - last.length >= at && name.endsWith(last);
  };
}
