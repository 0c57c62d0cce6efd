// Invariants of the history and the state of any cluster after any faults: one controller per epoch, fenced writes, unique
// sequential names, and ephemeral nodes that belong to sessions.

import { hasCode } from '../../src/core/service-error.ts';
import type { Store } from '../../src/store/store.ts';
import type { Transaction } from '../../src/store/tree/node-codec.ts';
import { brokerCredential } from '../../src/store/tree/sessions.ts';

interface PartitionNode {
  leader: number;
  leader_epoch: number;
  controller_epoch: number;
  isr: number[];
}

/** The guarantee of controllers: each begins with the next epoch in one transaction, and only the newest one writes. */
export function controllerProblems(history: readonly Transaction[]): { problems: string[]; elections: number } {
  const problems: string[] = [];
  let epoch = 0;
  let elections = 0;
  let isHeld = false;
  const states = new Map<string, PartitionNode>();
  for (const { zxid, events } of history) {
    const next = events.find(({ path, kind }) => path === '/controller_epoch' && kind !== 'deleted');
    const elected = events.some(({ path, kind }) => path === '/controller' && kind === 'created');
    const gone = events.some(({ path, kind }) => path === '/controller' && kind === 'deleted');
    if (gone) isHeld = false;
    if (elected !== (next !== undefined)) problems.push(`${zxid}: a controller and its epoch came apart`);
    if (elected && isHeld) problems.push(`${zxid}: a second controller`);
    if (elected) {
      isHeld = true;
      elections += 1;
    }
    if (next) {
      const value = Number(next.data);
      if (value !== epoch + 1) problems.push(`${zxid}: epoch ${value} after ${epoch}`);
      epoch = value;
    }
    for (const { path, kind, data } of events) {
      if (!/^\/brokers\/topics\/[^/]+\/partitions\/\d+\/state$/.test(path)) continue;
      const before = states.get(path);
      if (kind === 'deleted') states.delete(path);
      if (kind === 'deleted' || !data) continue;
      const state = JSON.parse(data.toString()) as PartitionNode;
      states.set(path, state);
      if (kind !== 'changed' || !before) continue;
      if (state.controller_epoch !== epoch) {
        problems.push(`${zxid}: ${path} written by the controller of ${state.controller_epoch} in epoch ${epoch}`);
      }
      const isNew = state.leader !== before.leader;
      if (state.leader_epoch < before.leader_epoch || (isNew && state.leader_epoch === before.leader_epoch)) {
        problems.push(`${zxid}: ${path} went from ${JSON.stringify(before)} to ${JSON.stringify(state)}`);
      }
    }
  }
  return { problems, elections };
}

/** Guarantee N2: a sequential name is never used twice. `acknowledged` has the names in the responses to clients. */
export function sequenceProblems(history: readonly Transaction[], parent: string, acknowledged: string[]): string[] {
  const created = new Set<string>();
  const problems: string[] = [];
  for (const { zxid, events } of history) {
    for (const { kind, path } of events) {
      if (kind !== 'created' || !path.startsWith(`${parent}/`)) continue;
      if (created.has(path)) problems.push(`${zxid}: ${path} is created for the second time`);
      created.add(path);
    }
  }
  if (new Set(acknowledged).size !== acknowledged.length) problems.push('Two clients were given the same name');
  problems.push(...acknowledged.filter((path) => !created.has(path)).map((path) => `${path} was never created`));
  return problems;
}

/** Guarantee N5: each ephemeral node belongs to a live session that lists it. Nodes may be deleted during the check. */
export async function ephemeralProblems(store: Store, path = '/'): Promise<string[]> {
  const { namespace, sessions } = store;
  try {
    const problems: string[] = [];
    const owner = (await namespace.stat(path)).stat.ephemeralOwner;
    if (owner !== null) {
      const known = await sessions.get(brokerCredential(owner)).catch((error: unknown) => {
        if (!hasCode(error, 'SESSION_EXPIRED')) throw error;
        return undefined;
      });
      const isKnown = known?.ephemerals.includes(path);
      const now = isKnown ? undefined : (await namespace.stat(path)).stat.ephemeralOwner;
      if (now === owner) problems.push(`${path} belongs to ${owner}, which has ${known?.ephemerals ?? 'ended'}`);
    }
    for (const name of await namespace.allChildren(path)) {
      const child = path === '/' ? `/${name}` : `${path}/${name}`;
      problems.push(...(await ephemeralProblems(store, child)));
    }
    return problems;
  } catch (error) {
    if (hasCode(error, 'NO_NODE')) return [];
    throw error;
  }
}
