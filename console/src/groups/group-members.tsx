// The members of a group, with where they come from and what they have.

import { counted, duration } from '../ui/format.ts';
import { Ago, Badge, Panel } from '../ui/parts.tsx';
import type { MemberOf } from './assignment-matrix.ts';

/** More would make a long page; the matrix has all of them. */
const shownMax = 100;

export function GroupMembers({ members }: { members: readonly MemberOf[] }) {
  return (
    <Panel title={members.length === 0 ? 'Members' : counted(members.length, 'member')}>
      {members.length === 0 && <p class="hint">Nobody has joined, or all have left.</p>}
      <ul class="members">
        {members.slice(0, shownMax).map((member) => (
          <Member key={member.memberId} member={member} />
        ))}
      </ul>
      {members.length > shownMax && <p class="hint">and {members.length - shownMax} more</p>}
    </Panel>
  );
}

function Member({ member }: { member: MemberOf }) {
  const { memberId, clientId, instanceId, address, joinedAt, state, away, pattern, topics, assignment } = member;
  const partitions = assignment.reduce((sum, { partitions: of }) => sum + of.length, 0);
  return (
    <li>
      <div>
        <b class="mono">{clientId ?? memberId}</b>{' '}
        {state === 'stable' ? undefined : (
          <Badge kind="warn">{state === 'unrevoked' ? 'gives up partitions' : 'waits for partitions'}</Badge>
        )}
        {away && <Badge kind="warn">away</Badge>}
      </div>
      <div class="hint">
        {clientId !== undefined && <span class="mono">{memberId} </span>}
        {counted(partitions, 'partition')} of {pattern === undefined ? topics.join(', ') : `topics like ${pattern}`}
        {instanceId !== undefined && `, instance ${instanceId}`}
        {address !== undefined && `, from ${address}`}
        {joinedAt !== undefined && (
          <>
            , joined <Ago at={joinedAt} />
          </>
        )}
        , may be silent for {duration(member.sessionTimeoutMs)}
      </div>
    </li>
  );
}
