// The tree as the page has it: only what is open was read, page by page; watches keep it as it is on the server.
import { batch, signal } from '@preact/signals';
import type { Stat, WatchTransaction } from '@weirkeeper/client';
import { readChildren } from '../live/nodes.ts';

interface Branch {
  /** The names of the children that were read, sorted. */
  names: string[];
  /** Where the next page begins; undefined at the end. */
  next: string | undefined;
  /** Names behind the pages that were read, of nodes that somebody has asked for. */
  strays: string[];
  loading: Promise<void> | undefined;
  error: unknown;
}

const emptyBranch = (): Branch => ({ names: [], next: undefined, strays: [], loading: undefined, error: undefined });

export interface TreeRow {
  kind: 'node' | 'more' | 'problem';
  path: string;
  depth: number;
  /** Among its siblings, from 1. */
  position: number;
}

/** How a row has just changed. */
export type Flash = 'new' | 'changed' | 'gone';

const pageSize = 500;
const flashMs = 1700;
/** Changes are shown together: a busy tree changes faster than anybody reads. */
const flushMs = 80;
/** Beyond so many rows in a flush nothing flashes: everything would. */
const flashesMax = 200;

export const rows = signal<readonly TreeRow[]>([]);
/** Counts changes of stats and flashes, which stand outside the rows. */
export const revision = signal(0);

const branches = new Map<string, Branch>();
const open = new Set<string>(['/']);
const stats = new Map<string, Stat>();
const flashes = new Map<string, { flash: Flash; at: number }>();
let pending: WatchTransaction[] = [];
let timer: ReturnType<typeof setTimeout> | undefined;

export function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}

export function nameOf(path: string): string {
  return path === '/' ? '/' : path.slice(path.lastIndexOf('/') + 1);
}

export function childOf(path: string, name: string): string {
  return path === '/' ? `/${name}` : `${path}/${name}`;
}

/** The paths of all ancestors of a node, the root first, without the node. */
export function ancestorsOf(path: string): string[] {
  if (path === '/') return [];
  const parts = path.slice(1).split('/');
  return ['/', ...parts.slice(0, -1).map((_, index) => `/${parts.slice(0, index + 1).join('/')}`)];
}

export const isOpen = (path: string) => open.has(path);
export const statOf = (path: string) => stats.get(path);
export const branchOf = (path: string): Readonly<Branch> | undefined => branches.get(path);
export const flashOf = (path: string) => flashes.get(path)?.flash;

/** Opens or closes a node. What was read stays, so that it opens at once the next time. */
export function setOpen(path: string, isToBeOpen: boolean): void {
  if (isToBeOpen) open.add(path);
  else open.delete(path);
  if (isToBeOpen) void load(path);
  show();
}

/** Opens all ancestors of a node, so that its row is shown. */
export async function reveal(path: string): Promise<void> {
  const ancestors = ancestorsOf(path);
  for (const [index, ancestor] of ancestors.entries()) {
    open.add(ancestor);
    await load(ancestor);
    const name = nameOf(ancestors[index + 1] ?? path);
    const branch = branches.get(ancestor);
    // A node on a later page is shown without the pages between.
    if (branch?.next !== undefined && !branch.names.includes(name)) branch.strays = merged(branch.strays, [name]);
  }
  show();
}

/** Reads the first page of the children, unless that was done. */
async function load(path: string): Promise<void> {
  const known = branches.get(path);
  if (known?.loading) return known.loading;
  if (known && known.names.length > 0 && known.error === undefined) return;
  branches.set(path, emptyBranch());
  await loadMore(path);
}

/** Reads the next page of the children of a node. */
export function loadMore(path: string): Promise<void> {
  const branch = branches.get(path);
  if (!branch) return Promise.resolve();
  if (branch.loading === undefined) branch.loading = readPage(path, branch);
  return branch.loading;
}

async function readPage(path: string, branch: Branch): Promise<void> {
  branch.error = undefined;
  try {
    const page = await readChildren(path, { limit: pageSize, after: branch.next });
    if (branches.get(path) !== branch) return;
    stats.set(path, page.stat);
    for (const { name, stat } of page.children) stats.set(childOf(path, name), stat);
    const names = page.children.map(({ name }) => name);
    const last = names.at(-1);
    branch.names = merged(branch.names, names);
    branch.next = page.next;
    branch.strays = branch.strays.filter(
      (name) => page.next !== undefined && last !== undefined && compare(name, last) > 0,
    );
  } catch (error) {
    branch.error = error;
  } finally {
    branch.loading = undefined;
  }
  show();
}

/** Reads everything that is open again: changes may have been missed. */
export async function reloadTree(): Promise<void> {
  const shown = [...open].filter((path) => branches.has(path));
  for (const path of branches.keys()) if (!open.has(path)) branches.delete(path);
  if (!branches.has('/')) {
    await load('/');
    return;
  }
  for (const path of shown) {
    const old = branches.get(path);
    const fresh = { ...emptyBranch(), strays: old?.strays ?? [] };
    branches.set(path, fresh);
    await loadMore(path);
    if (fresh.error !== undefined && path !== '/') branches.delete(path);
    // As far down as before, within reason.
    while (fresh.next !== undefined && fresh.names.length < Math.min(old?.names.length ?? 0, 5000))
      await loadMore(path);
  }
  show();
}

/** Takes over what a transaction has changed. */
export function applyTransaction(transaction: WatchTransaction): void {
  pending.push(transaction);
  if (timer === undefined) timer = setTimeout(flush, flushMs);
}

function flush(): void {
  timer = undefined;
  const transactions = pending;
  pending = [];
  const added = new Map<string, string[]>();
  const removed = new Set<string>();
  const touched = new Map<string, Flash>();
  for (const { events } of transactions) {
    for (const { type, path, stat } of events) {
      if (type === 'deleted') {
        removed.add(path);
        touched.set(path, 'gone');
        continue;
      }
      if (stat && (stats.has(path) || branches.has(parentOf(path)))) stats.set(path, stat);
      if (type === 'created') {
        removed.delete(path);
        touched.set(path, 'new');
        const parent = parentOf(path);
        if (branches.has(parent)) added.set(parent, [...(added.get(parent) ?? []), nameOf(path)]);
      } else if (type === 'changed' && !touched.has(path)) touched.set(path, 'changed');
    }
  }
  for (const [parent, names] of added) {
    const branch = branches.get(parent);
    if (branch) insert(branch, names);
  }
  const now = Date.now();
  if (touched.size <= flashesMax) for (const [path, flash] of touched) flashes.set(path, { flash, at: now });
  // What is gone is shown for a moment, crossed out.
  if (removed.size > 0) setTimeout(() => remove(removed), touched.size <= flashesMax ? flashMs : 0);
  setTimeout(() => forgetFlashes(), flashMs);
  show();
}

function remove(paths: ReadonlySet<string>): void {
  const byParent = new Map<string, Set<string>>();
  for (const path of paths) {
    // It may have been created again meanwhile.
    if (flashes.get(path)?.flash === 'new') continue;
    stats.delete(path);
    branches.delete(path);
    open.delete(path);
    const parent = parentOf(path);
    byParent.set(parent, (byParent.get(parent) ?? new Set()).add(nameOf(path)));
  }
  for (const [parent, names] of byParent) {
    const branch = branches.get(parent);
    if (!branch) continue;
    branch.names = branch.names.filter((name) => !names.has(name));
    branch.strays = branch.strays.filter((name) => !names.has(name));
  }
  show();
}

function forgetFlashes(): void {
  const before = Date.now() - flashMs;
  for (const [path, { at }] of flashes) if (at <= before) flashes.delete(path);
  revision.value += 1;
}

/** Adds names where they belong; those behind what was read come with their page. */
function insert(branch: Branch, names: readonly string[]): void {
  const last = branch.names.at(-1);
  const near = names.filter((name) => branch.next === undefined || (last !== undefined && compare(name, last) <= 0));
  branch.names = merged(branch.names, near);
}

function merged(known: readonly string[], more: readonly string[]): string[] {
  if (more.length === 0) return known as string[];
  const last = known.at(-1);
  const first = more[0];
  // Pages follow each other.
  if (last === undefined || (first !== undefined && compare(last, first) < 0)) return [...known, ...more];
  return [...new Set([...known, ...more])].sort(compare);
}

/** As the server sorts names: by bytes, which for most names is by characters. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function show(): void {
  const next: TreeRow[] = [];
  const add = (path: string, depth: number, position: number): void => {
    next.push({ kind: 'node', path, depth, position });
    const branch = open.has(path) ? branches.get(path) : undefined;
    if (!branch) return;
    branch.names.forEach((name, index) => {
      add(childOf(path, name), depth + 1, index + 1);
    });
    if (branch.error !== undefined) next.push({ kind: 'problem', path, depth: depth + 1, position: 0 });
    else if (branch.next !== undefined) next.push({ kind: 'more', path, depth: depth + 1, position: 0 });
    for (const name of branch.strays) add(childOf(path, name), depth + 1, statOf(path)?.numChildren ?? 1);
  };
  add('/', 0, 1);
  batch(() => {
    rows.value = next;
    revision.value += 1;
  });
}
