// Shared by tests of consumer groups: topics, members over HTTP, and the check of guarantee R1 over the history of the tree.

import type { Store } from '../../src/store/store.ts';
import type { Transaction } from '../../src/store/tree/node-codec.ts';
import { type HttpResponse, http } from './server.ts';

export interface TestMember {
  memberId: string;
  memberEpoch: number;
  assignment: { topic: string; partitions: number[] }[];
}

export async function createTopic(url: string, name: string, partitions: number): Promise<void> {
  const { status, body } = await http(`${url}/v1/topics`, 'POST', { name, partitions });
  if (status !== 201) throw new Error(`Topic ${name}: ${JSON.stringify(body)}`);
}

/** Appends values to a partition of a topic. */
export async function produce(url: string, topic: string, partition: number, values: unknown[]): Promise<void> {
  const records = values.map((value) => ({ value }));
  const { status, body } = await http(`${url}/v1/topics/${topic}/partitions/${partition}/records`, 'POST', { records });
  if (status !== 200) throw new Error(`Produce to ${topic}/${partition}: ${JSON.stringify(body)}`);
}

export function join(url: string, group: string, body: Record<string, unknown>): Promise<HttpResponse> {
  return http(`${url}/v1/groups/${group}/members`, 'POST', { reset: 'earliest', ...body });
}

export function heartbeat(url: string, group: string, member: TestMember): Promise<HttpResponse> {
  const { memberEpoch, assignment: owned } = member;
  return http(`${url}/v1/groups/${group}/members/${member.memberId}/heartbeat`, 'POST', { memberEpoch, owned });
}

/** Sends one heartbeat; after it the member owns its assignment. */
export async function beat(url: string, group: string, member: TestMember): Promise<HttpResponse> {
  const response = await heartbeat(url, group, member);
  if (response.status === 200) Object.assign(member, response.body);
  return response;
}

export function consume(url: string, group: string, memberId: string, query = ''): Promise<HttpResponse> {
  return http(`${url}/v1/groups/${group}/members/${memberId}/records${query}`);
}

/** The number of partitions in an assignment. */
export function count(assignment: { partitions: number[] }[]): number {
  return assignment.reduce((sum, { partitions }) => sum + partitions.length, 0);
}

/** Every transaction of the main history so far. */
export async function history(store: Store): Promise<Transaction[]> {
  const { transactions, complete } = await store.events.range('main', 0, await store.events.newestZxid(), 100_000);
  if (!complete) throw new Error('The history is longer than one page');
  return transactions;
}

/**
 * The errors in the history of a group's owner nodes, one line each: a partition that got a second owner while it had one
 * (guarantee R1), or an owner that was not a member.
 */
export function ownershipProblems(transactions: readonly Transaction[], group: string): string[] {
  const problems: string[] = [];
  const owners = new Map<string, string>();
  const members = new Set<string>();
  const [ids, nodes] = [`/consumers/${group}/ids/`, `/consumers/${group}/owners/`];
  for (const { zxid, events } of transactions) {
    for (const { kind, path, data } of events) {
      if (path.startsWith(ids)) {
        if (kind === 'created') members.add(path.slice(ids.length));
        if (kind === 'deleted') members.delete(path.slice(ids.length));
      }
      if (!path.startsWith(nodes) || !path.slice(nodes.length).includes('/')) continue;
      const owner = owners.get(path);
      if (kind === 'created' && owner !== undefined) problems.push(`${zxid}: ${path} went from ${owner} to ${data}`);
      if (kind === 'changed') problems.push(`${zxid}: ${path} was written to`);
      if (kind === 'created') owners.set(path, String(data));
      if (kind === 'deleted') owners.delete(path);
    }
    // The node of a member and its owner nodes are created and deleted in one transaction.
    for (const [path, owner] of owners) {
      if (!members.has(owner)) problems.push(`${zxid}: ${path} belongs to ${owner}, which is no member`);
    }
  }
  return problems;
}
