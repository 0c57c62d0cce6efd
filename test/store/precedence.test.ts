// Guarantee N3: an operation with several faults gets the error that ZooKeeper would return. The test tries
// every pair of faults that one operation can have.

import { pino } from 'pino';
import t from 'tap';
import { unrestricted } from '../../src/core/actor.ts';
import { Store } from '../../src/store/store.ts';
import type { Op } from '../../src/store/tree/namespace.ts';
import { brokerCredential } from '../../src/store/tree/sessions.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { testConfig } from '../helpers/server.ts';

const maxNodeBytes = 8;
const { socketPath } = await startTestRedis(t);
const store = new Store({ ...testConfig, maxNodeBytes, target: { socketPath } }, pino({ level: 'silent' }));
await store.open();
t.teardown(() => store.close());
const { namespace } = store;

const living = brokerCredential((await store.sessions.create(60_000, unrestricted)).id);
const dead = brokerCredential('0123456789abcdef');
const large = 'x'.repeat(maxNodeBytes + 1);
await namespace.write(
  [
    { op: 'create', path: '/there' },
    { op: 'create', path: '/there/kid' },
    { op: 'create', path: '/ephemeral', mode: 'ephemeral', session: living },
    { op: 'create', path: '/brokers/ids/9', mode: 'ephemeral', session: living },
  ],
  { privileged: true },
);

const create = (path: string, more: Partial<Omit<Extract<Op, { op: 'create' | 'put' }>, 'op' | 'path'>> = {}): Op => ({
  op: 'create',
  path,
  ...more,
});
const set = (path: string, data: string, version = -1): Op => ({ op: 'set', path, data, version });
const remove = (path: string, version = -1): Op => ({ op: 'delete', path, version });

const cases: Record<string, [faults: string, op: Op, code: string][]> = {
  'create: path, session, parent, reserved, exists, ephemeral parent, limit': [
    ['session and parent', create('/no/x', { session: dead }), 'SESSION_EXPIRED'],
    ['session and reserved', create('/brokers/x', { session: dead }), 'SESSION_EXPIRED'],
    ['path and session', create('/..', { session: dead }), 'INVALID_PATH'],
    ['session and exists', create('/there', { session: dead }), 'SESSION_EXPIRED'],
    ['session and ephemeral parent', create('/ephemeral/x', { session: dead }), 'SESSION_EXPIRED'],
    ['session and limit', create('/x', { session: dead, data: large }), 'SESSION_EXPIRED'],
    ['parent and reserved', create('/brokers/no/x'), 'NO_PARENT'],
    ['path and parent', create('/no/..'), 'INVALID_PATH'],
    ['path and parent, at its empty name', create('/no//x'), 'INVALID_PATH'],
    ['length of the path and parent', create(`/no/${'é'.repeat(3000)}`), 'INVALID_PATH'],
    ['parent and limit', create('/no/x', { data: large }), 'NO_PARENT'],
    ['path and reserved', create('/brokers/..'), 'INVALID_PATH'],
    ['reserved and exists', create('/brokers/ids'), 'RESERVED_PATH'],
    ['reserved and ephemeral parent', create('/brokers/ids/9/x'), 'RESERVED_PATH'],
    ['reserved and limit', create('/brokers/x', { data: large }), 'RESERVED_PATH'],
    ['path and ephemeral parent', create('/ephemeral/..'), 'INVALID_PATH'],
    ['path and limit', create('/..', { data: large }), 'INVALID_PATH'],
    ['exists and limit', create('/there', { data: large }), 'NODE_EXISTS'],
    ['ephemeral parent and limit', create('/ephemeral/x', { data: large }), 'NO_CHILDREN_FOR_EPHEMERALS'],
  ],
  'set: path, node, reserved, kind, limit, version': [
    ['kind and limit', { op: 'put', path: '/there', mode: 'container', data: large }, 'NODE_EXISTS'],
    ['kind and version', { ...set('/there', '', 9), mode: 'container' } as Op, 'NODE_EXISTS'],
    ['path and limit', set('/..', large), 'INVALID_PATH'],
    ['path and version', set('/..', '', 9), 'INVALID_PATH'],
    ['node and reserved', set('/brokers/no', ''), 'NO_NODE'],
    ['node and limit', set('/no', large), 'NO_NODE'],
    ['node and version', set('/no', '', 9), 'NO_NODE'],
    ['reserved and limit', set('/brokers', large), 'RESERVED_PATH'],
    ['reserved and version', set('/brokers', '', 9), 'RESERVED_PATH'],
    ['limit and version', set('/there', large, 9), 'TOO_LARGE'],
  ],
  'delete: path, parent, reserved, node, version, not empty': [
    ['path and version', remove('/..', 9), 'INVALID_PATH'],
    ['parent and reserved', remove('/brokers/no/x'), 'NO_NODE'],
    ['reserved and node', remove('/brokers/no'), 'RESERVED_PATH'],
    ['reserved and version', remove('/brokers/ids/9', 9), 'RESERVED_PATH'],
    ['reserved and not empty', remove('/brokers/ids'), 'RESERVED_PATH'],
    ['node and version', remove('/no', 9), 'NO_NODE'],
    ['version and not empty', remove('/there', 9), 'BAD_VERSION'],
  ],
  'check: path, presence, version': [
    ['path and presence', { op: 'check', path: '/..' }, 'INVALID_PATH'],
    ['absence and version', { op: 'check', path: '/there', exists: false, version: 9 }, 'NODE_EXISTS'],
    ['presence and version', { op: 'check', path: '/no', version: 9 }, 'NO_NODE'],
    ['version and czxid', { op: 'check', path: '/there', version: 9, czxid: 1 }, 'BAD_VERSION'],
  ],
};

for (const [order, faults] of Object.entries(cases)) {
  t.test(order, async (t) => {
    const before = await store.events.newestZxid();
    for (const [what, op, code] of faults) {
      await t.rejects(namespace.writeOne(op), { code }, what);
      // The same error in a multi, where the operations before it are undone.
      const multi = namespace.write([create('/first'), op, create('/last')]);
      await t.rejects(multi, { code, fields: { failed: 1 } }, `${what}, in a multi`);
    }
    t.equal(await store.events.newestZxid(), before, 'and nothing was changed');
    t.same(await namespace.allChildren('/there'), ['kid']);
  });
}
