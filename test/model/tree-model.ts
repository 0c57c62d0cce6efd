// A simple in-memory model of ZooKeeper's rules for the tree, written from docs/zookeeper.md alone, without a store.
// Transactions are numbered 1, 2, 3 …; the test maps the zxids of the service to these numbers.
import { newPathProblem, pathProblem, sequentialPathProblem } from '../../src/core/tree/path.ts';
import type { Op } from '../../src/store/tree/namespace.ts';

export interface ModelNode {
  data: string;
  czxid: number;
  mzxid: number;
  pzxid: number;
  version: number;
  /** The sequence counter: the number of successful child creates. */
  created: number;
  deleted: number;
  owner: string | undefined;
  mode: string;
}

export type Outcome = { code: string; failed?: number } | { code: 'OK'; results: (string | undefined)[] };

function problemOf(op: Op): string | undefined {
  if (op.op !== 'create' && op.op !== 'put') return pathProblem(op.path);
  return op.sequential ? sequentialPathProblem(op.path) : newPathProblem(op.path);
}

function isOfKind(node: ModelNode, mode: string, session: string | undefined): boolean {
  return node.mode === mode && node.owner === (mode === 'ephemeral' ? session : undefined);
}

class Failure extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export class TreeModel {
  nodes = new Map<string, ModelNode>();
  sessions = new Set<string>();
  transactions = 0;
  readonly maxNodeBytes: number;

  constructor(root: string, maxNodeBytes: number) {
    this.maxNodeBytes = maxNodeBytes;
    this.nodes.set(root, fresh(0, '', 'persistent', undefined));
  }

  /** Applies operations as one transaction: all or nothing. */
  write(ops: Op[]): Outcome {
    const before = structuredClone(this.nodes);
    const next = this.transactions + 1;
    let changes = 0;
    const results: (string | undefined)[] = [];
    // ZooKeeper's client checks the paths of all operations before it sends them.
    const malformed = ops.findIndex((op) => problemOf(op) !== undefined);
    if (malformed >= 0) return { code: 'INVALID_PATH', failed: malformed };
    for (const [index, op] of ops.entries()) {
      try {
        const result = this.#apply(op, next);
        results.push(result.path);
        changes += result.changes;
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        this.nodes = before;
        return { code: error.code, failed: index };
      }
    }
    if (changes > 0) this.transactions = next;
    return { code: 'OK', results };
  }

  /** Ends a session: all its ephemeral nodes are deleted in one transaction. */
  endSession(id: string): void {
    this.sessions.delete(id);
    const own = [...this.nodes].filter(([, { owner }]) => owner === id);
    if (own.length === 0) return;
    this.transactions += 1;
    for (const [path] of own) this.#remove(path, this.transactions);
  }

  children(path: string): string[] {
    const prefix = `${path}/`;
    const names = [...this.nodes.keys()]
      .filter((other) => other.startsWith(prefix))
      .map((other) => other.slice(prefix.length));
    return names.filter((name) => !name.includes('/')).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  }

  #apply(op: Op, zxid: number): { path: string; changes: number } {
    switch (op.op) {
      case 'put':
        if (!this.nodes.has(op.path)) return this.#create(op, zxid);
        // A session that is named must be alive, even if the node exists and nothing is created.
        if (op.session && !this.sessions.has(op.session.id)) throw new Failure('SESSION_EXPIRED');
        if (op.mode && !isOfKind(this.nodes.get(op.path)!, op.mode, op.session?.id)) throw new Failure('NODE_EXISTS');
        return this.#set({ op: 'set', path: op.path, data: op.data ?? '' }, zxid);
      case 'create':
        return this.#create(op, zxid);
      case 'set':
        return this.#set(op, zxid);
      case 'delete':
      case 'delete-recursive':
        return this.#delete(op, zxid);
      case 'check':
        return this.#check(op);
    }
  }

  #create(op: Extract<Op, { op: 'create' | 'put' }>, zxid: number): { path: string; changes: number } {
    if (op.session && !this.sessions.has(op.session.id)) throw new Failure('SESSION_EXPIRED');
    const missing: string[] = [];
    let at = above(op.path);
    while (!this.nodes.has(at) && at !== '') {
      missing.unshift(at);
      at = above(at);
    }
    if (missing.length > 0 && !op.parents) throw new Failure('NO_PARENT');
    const nearest = this.nodes.get(at)!;
    const counter = missing.length > 0 ? 0 : nearest.created;
    const path = op.sequential ? `${op.path}${String(counter).padStart(10, '0')}` : op.path;
    if (this.nodes.has(path)) throw new Failure('NODE_EXISTS');
    if (nearest.mode === 'ephemeral') throw new Failure('NO_CHILDREN_FOR_EPHEMERALS');
    const data = String(op.data ?? '');
    if (data.length > this.maxNodeBytes) throw new Failure('TOO_LARGE');
    for (const parent of missing) this.#add(parent, fresh(zxid, '', 'persistent', undefined), zxid);
    const mode = op.mode ?? 'persistent';
    this.#add(path, fresh(zxid, data, mode, mode === 'ephemeral' ? op.session!.id : undefined), zxid);
    return { path, changes: 1 };
  }

  #set(op: Extract<Op, { op: 'set' }>, zxid: number): { path: string; changes: number } {
    const node = this.nodes.get(op.path);
    if (!node) throw new Failure('NO_NODE');
    const data = String(op.data ?? '');
    if (data.length > this.maxNodeBytes) throw new Failure('TOO_LARGE');
    checkVersion(node, op.version);
    node.data = data;
    node.version += 1;
    node.mzxid = zxid;
    return { path: op.path, changes: 1 };
  }

  #delete(op: Extract<Op, { op: 'delete' | 'delete-recursive' }>, zxid: number): { path: string; changes: number } {
    const node = this.nodes.get(op.path);
    if (!this.nodes.has(above(op.path)) || !node) throw new Failure('NO_NODE');
    checkVersion(node, op.version);
    const below = [...this.nodes.keys()].filter((path) => path.startsWith(`${op.path}/`));
    if (below.length > 0 && op.op === 'delete') throw new Failure('NOT_EMPTY');
    for (const path of below) this.nodes.delete(path);
    this.#remove(op.path, zxid);
    return { path: op.path, changes: 1 };
  }

  #check(op: Extract<Op, { op: 'check' }>): { path: string; changes: number } {
    const node = this.nodes.get(op.path);
    if (op.exists === false) {
      if (node) throw new Failure('NODE_EXISTS');
      return { path: op.path, changes: 0 };
    }
    if (!node) throw new Failure('NO_NODE');
    checkVersion(node, op.version);
    return { path: op.path, changes: 0 };
  }

  #add(path: string, node: ModelNode, zxid: number): void {
    this.nodes.set(path, node);
    const parent = this.nodes.get(above(path))!;
    parent.created += 1;
    parent.pzxid = zxid;
  }

  #remove(path: string, zxid: number): void {
    this.nodes.delete(path);
    const parent = this.nodes.get(above(path));
    if (!parent) return;
    parent.deleted += 1;
    parent.pzxid = zxid;
  }
}

function fresh(zxid: number, data: string, mode: string, owner: string | undefined): ModelNode {
  return { data, czxid: zxid, mzxid: zxid, pzxid: zxid, version: 0, created: 0, deleted: 0, owner, mode };
}

function checkVersion(node: ModelNode, expected: number | undefined): void {
  if (expected !== undefined && expected !== -1 && expected !== node.version) throw new Failure('BAD_VERSION');
}

function above(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}
