// The site and the type of the cases of bench/scripts.ts.
import type { Server } from '../../src/server.ts';
import type { Store } from '../../src/store/store.ts';

export interface ScriptSite {
  server: Server;
  store: Store;
}

export interface ScriptCase {
  what: string;
  /** The scripts that are measured. */
  scripts: string[];
  /** Prepares each round; not measured. */
  prepare?: () => Promise<unknown>;
  run: () => Promise<unknown>;
}

export const range = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));
