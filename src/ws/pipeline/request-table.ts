// What each request of /v1/socket is: in which lane it stands, and what its sender must be allowed to do.
import type { SocketOp } from '../../../schemas/socket.ts';

/** A verb of access control, and what it applies to. */
type Need =
  | { needs: 'read' | 'write' | 'delete'; on: 'path' }
  | { needs: 'read' | 'write'; on: 'topic' }
  | { needs: 'use'; on: 'group' }
  /** Each operation of a multi needs what it needs by itself. */
  | { needs: 'each'; on: 'ops' }
  | { needs: 'nothing' };

type Entry = Need & {
  /** Requests of one lane take effect in their order: those on the tree, on one log, or on one group. */
  lane: 'tree' | 'log' | 'group';
};

/** The one place that says what a request needs; access control reads it. */
export const requestTable: Readonly<Record<SocketOp, Entry>> = {
  session: { lane: 'tree', needs: 'nothing' },
  create: { lane: 'tree', needs: 'write', on: 'path' },
  set: { lane: 'tree', needs: 'write', on: 'path' },
  delete: { lane: 'tree', needs: 'delete', on: 'path' },
  get: { lane: 'tree', needs: 'read', on: 'path' },
  exists: { lane: 'tree', needs: 'read', on: 'path' },
  children: { lane: 'tree', needs: 'read', on: 'path' },
  multi: { lane: 'tree', needs: 'each', on: 'ops' },
  watch: { lane: 'tree', needs: 'read', on: 'path' },
  unwatch: { lane: 'tree', needs: 'nothing' },
  produce: { lane: 'log', needs: 'write', on: 'topic' },
  fetch: { lane: 'log', needs: 'read', on: 'topic' },
  offsets: { lane: 'log', needs: 'read', on: 'topic' },
  commit: { lane: 'group', needs: 'use', on: 'group' },
  ping: { lane: 'tree', needs: 'nothing' },
};

/** The requests that take a `seq`. */
export const sequencedOps: ReadonlySet<string> = new Set<SocketOp>(['create', 'set', 'delete', 'multi']);
