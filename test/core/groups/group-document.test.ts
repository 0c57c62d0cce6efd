// The document of a group in the store: it is decoded as it was encoded, and a damaged one is refused by the name of its field.
import t from 'tap';
import { decodeGroup, emptyGroup, encodeGroup, type GroupDocument } from '../../../src/core/groups/group-document.ts';
import { join } from '../../../src/core/groups/group-state.ts';
import { request, topicsViewOf } from '../../helpers/group-documents.ts';

function groupOf(memberIds: string[]): GroupDocument {
  const view = topicsViewOf({ t1: 2 });
  return memberIds.reduce((group, memberId) => join(group, request(memberId, { topics: ['t1'] }), view), emptyGroup());
}

t.test('a document is decoded as it was encoded', async (t) => {
  t.same(decodeGroup(encodeGroup(emptyGroup())), emptyGroup());
  const group = groupOf(['a', 'b', 'constructor']);
  t.same(decodeGroup(encodeGroup(group)), group);
});

t.test('a damaged document is refused by the name of its field', async (t) => {
  const damaged = (change: (group: any) => void) => {
    const group = structuredClone(groupOf(['a']));
    change(group);
    return () => decodeGroup(JSON.stringify(group));
  };
  for (const [change, message] of [
    [(group: any) => delete group.members, /document\.members is no object/],
    [(group: any) => (group.groupEpoch = '1'), /document\.groupEpoch is no number/],
    [(group: any) => (group.members.a = []), /members\.a is no object/],
    [(group: any) => delete group.members.a.sessionId, /members\.a\.sessionId is no string/],
    [(group: any) => (group.members.a.assigned = {}), /members\.a\.assigned is no list/],
    [(group: any) => (group.topics.t1.partitionCount = null), /topics\.t1\.partitionCount is no number/],
  ] as const) {
    t.throws(damaged(change), { message }, String(message));
  }
  t.throws(() => decodeGroup('[]'), { message: /document is no object/ });
});
