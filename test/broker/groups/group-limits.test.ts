import t from 'tap';
import { checkRoom, membersMax, subscriptionBytesMax } from '../../../src/broker/groups/group-limits.ts';
import { emptyGroup, type GroupDocument } from '../../../src/core/groups/group-document.ts';
import { changesBetween } from '../../../src/core/groups/group-nodes.ts';
import { applyChanges } from '../../../src/core/groups/group-state.ts';
import { request, topicsViewOf } from '../../helpers/group-documents.ts';
import { createTopic, join } from '../../helpers/groups.ts';
import { http, startTestServer } from '../../helpers/server.ts';

const orders = { topics: ['orders'] };

/** A group with this many members, of which the first is static. */
function groupOf(members: number): GroupDocument {
  const changes = Array.from({ length: members }, (_, i) => {
    // The id of a session has 16 hex digits in the store.
    const sessionId = i.toString(16).padStart(16, '0');
    const more = i === 0 ? { sessionId, instanceId: 'one' } : { sessionId };
    return { kind: 'join' as const, request: request(`m${i}`, orders, more) };
  });
  return applyChanges(emptyGroup(), changes, topicsViewOf({})).group;
}

t.test(
  'a full group refuses new members; existing members may join again, and static members may be replaced',
  async (t) => {
    const [one, two] = [request('new-1', orders), request('new-2', orders)];
    const almost = checkRoom('g', groupOf(membersMax - 1), [one, two]);
    t.same([...almost.keys()], [two], 'of those that join together the first gets the last place');
    const full = groupOf(membersMax);
    const again = request('m7', orders);
    const replacement = request('m0-b', orders, { instanceId: 'one' });
    const refused = checkRoom('g', full, [one, again, replacement]);
    t.same([...refused.keys()], [one]);
    t.match(refused.get(one), {
      code: 'TOO_LARGE',
      message: "Group 'g' has 2000 members, the most that a group may have; join when one of them has left.",
      fields: { group: 'g', members: 2000, membersMax: 2000 },
    });
  },
);

t.test('the subscriptions of all members of a group have a common limit in bytes', async (t) => {
  const bytes = (length: number) => ({ topics: ['x'.repeat(length - '{"topics":[""]}'.length)] });
  const third = Math.floor(subscriptionBytesMax / 3);
  const { group } = applyChanges(
    emptyGroup(),
    ['a', 'b', 'c'].map((memberId) => ({
      kind: 'join' as const,
      request: request(memberId, bytes(third), { instanceId: memberId }),
    })),
    topicsViewOf({}),
  );
  const more = request('d', orders);
  const refused = checkRoom('g', group, [more]);
  t.match(refused.get(more), {
    code: 'TOO_LARGE',
    message: `The subscriptions of group 'g' have ${3 * third} bytes of topic names, and this one would add 21; the most is 4194304. Subscribe to fewer topics, or with a pattern.`,
    fields: { subscriptionBytes: 3 * third, subscriptionBytesMax: 4194304 },
  });
  const replacement = request('c-2', bytes(third), { instanceId: 'c' });
  t.equal(checkRoom('g', group, [replacement]).size, 0, 'a replacement of the same size fits');
  const less = request('a', orders);
  t.equal(checkRoom('g', group, [less, more]).size, 0, 'a smaller subscription makes room for the next join');
});

t.test('a join beyond the limits is refused with TOO_LARGE and changes nothing', async (t) => {
  const { url, broker } = await startTestServer(t);
  await createTopic(url, 'orders', 1);
  const { topicId } = await broker.topics.get('orders');
  const full = groupOf(membersMax);
  const document = { ...full, topics: { orders: { topicId, partitionCount: 1 } } };
  const changes = changesBetween('full', emptyGroup(), document, new Set(), Date.now());
  await broker.store.groups.commit('full', 0, { document: JSON.stringify(document), changes, liveMemberCount: 0 });
  const refused = await join(url, 'full', { topics: ['orders'], memberId: 'late' });
  t.equal(refused.status, 413);
  t.match(refused.body, { code: 'TOO_LARGE', retryable: false, group: 'full', members: 2000, membersMax: 2000 });
  t.equal((await http(`${url}/v1/groups/full`)).body.members.length, 2000);
  t.equal((await http(`${url}/v1/groups/full/members/m1999`, 'DELETE')).status, 204);
  t.equal((await join(url, 'full', { topics: ['orders'], memberId: 'late' })).status, 201, 'there is room again');

  // Names of topics that do not exist: as many as one member may name, and more.
  const names = Array.from({ length: 10_000 }, (_, i) => `t${i}-`.padEnd(90, 'x'));
  for (const memberId of ['c', 'd', 'e', 'f']) {
    const large = await join(url, 'long', { topics: names, memberId });
    t.equal(large.status, 201, 'one member may name 10,000 topics if they fit into a body');
  }
  const tooLong = await join(url, 'long', { topics: names, memberId: 'b' });
  t.equal(tooLong.status, 413);
  t.match(tooLong.body, { code: 'TOO_LARGE', group: 'long', subscriptionBytesMax: 4194304 });
  t.match(
    tooLong.body.detail,
    /have 37\d{5} bytes .* add 93\d{4}; the most is 4194304\. Subscribe to fewer topics, or with/,
  );
  t.equal((await http(`${url}/v1/groups/long`)).body.members.length, 4);
  t.equal((await join(url, 'long', { pattern: 't.*', memberId: 'b' })).status, 201, 'a pattern is short');
});
