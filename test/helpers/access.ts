// Policies for tests: a file with tokens of some identities.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type NewToken, newToken } from '../../src/access/tokens.ts';

export interface TestPolicy {
  /** For WEIR_ACCESS_FILE. */
  file: string;
  tokens: Record<string, NewToken>;
  /** The header of an identity. */
  as(identity: string): { authorization: string };
  /** Writes other rules, with the same tokens; without those of the identities in `revoked`. */
  change(rules: string, revoked?: readonly string[]): Promise<void>;
  /** Writes the whole file. */
  write(text: string): Promise<void>;
}

/**
 * Writes a policy that is removed after the test.
 * @param identities each gets a token
 * @param rules YAML of the sections besides `identities`
 */
export async function writePolicy(t: Test, identities: readonly string[], rules: string): Promise<TestPolicy> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-policy-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'policy.yaml');
  const tokens = Object.fromEntries(identities.map((name) => [name, newToken(`t-${name}`)]));
  const write = (text: string) => writeFile(file, text);
  const change = async (text: string, revoked: readonly string[] = []) => {
    const lines = Object.entries(tokens).map(([name, { id, sha256 }]) =>
      revoked.includes(name) ? `  ${name}: {}` : `  ${name}: { tokens: [ { id: ${id}, sha256: "${sha256}" } ] }`,
    );
    await write(`identities:\n${lines.join('\n')}\n${text}`);
  };
  await change(rules);
  return { file, tokens, as: (identity) => ({ authorization: `Bearer ${tokens[identity]?.token}` }), change, write };
}

/** Bodies with which the operations that decide by their body come so far. */
export const decidingBodies: Record<string, unknown> = {
  // As NDJSON.
  'nodes.import': '{"path":"/x"}\n',
  'nodes.copy': { from: '/x', to: '/y' },
  multi: { ops: [{ op: 'create', path: '/x' }] },
  'topics.create': { name: 'x', partitions: 1 },
  'producers.register': { name: 'x' },
};

/** Operations that any identity may call, as they are about the caller alone, or leave out what it may not see. */
export const forAnyIdentity = new Set([
  // It is refused where the query is about another identity.
  'access.check',
  'access.createTicket',
  'access.createToken',
  // Those of the caller.
  'access.listTokens',
  'access.me',
  'access.revokeToken',
  'brokers.get',
  'brokers.list',
  'cluster.get',
  'events.list',
  'resources.list',
  'groups.list',
  'producers.list',
  'sessions.create',
  'sessions.end',
  'sessions.endSelf',
  'sessions.get',
  'sessions.getSelf',
  'sessions.list',
  'sessions.renew',
  'sessions.renewSelf',
  'topics.list',
  // They are refused when they ask for something.
  'socket',
  'watch.socket',
]);
export const openOperations = new Set(['health.live', 'health.ready', 'root.get']);
