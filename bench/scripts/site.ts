// What the cases of bench/scripts.ts are measured on, and how one looks.
import type { Server } from '../../src/server.ts';
import type { Store } from '../../src/store/store.ts';

export interface ScriptSite {
  server: Server;
  store: Store;
}

export interface ScriptCase {
  what: string;
  /** Those that are looked at. */
  scripts: string[];
  /** Before each round, unmeasured. */
  prepare?: () => Promise<unknown>;
  run: () => Promise<unknown>;
}

export const range = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));
