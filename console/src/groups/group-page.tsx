// One group: how far it is behind, who has what, and what has happened.
import type { Group } from '@weirkeeper/client';
import { useEffect, useRef, useState } from 'preact/hooks';
import { useResource } from '../live/resource.ts';
import { api, isReadOnly } from '../live/session.ts';
import { useWatch } from '../live/watch.ts';
import { go, linkTo } from '../router.ts';
import { compact, count, counted, duration, nothing } from '../ui/format.ts';
import { Badge, Button, Empty, PageHead, Panel, Problem, Tile } from '../ui/parts.tsx';
import { Sparkline } from '../ui/sparkline.tsx';
import { assignmentMatrices, oldestAge, sumOfLag } from './assignment-matrix.ts';
import { DeleteGroup, ResetOffsets } from './group-actions.tsx';
import { GroupMembers } from './group-members.tsx';
import { lagHistory, StateBadge } from './group-parts.tsx';
import { Matrix } from './matrix.tsx';
import { PartitionLags } from './partition-lags.tsx';
import { Timeline } from './timeline.tsx';

const refreshMs = 2000;
const debounceMs = 150;
/** So many topics are named. */
const namesMax = 5;

export function GroupPage({ name }: { name: string }) {
  const read = useResource(
    `group ${name}`,
    async (signal) => {
      const group = await api().request<Group>({ path: `/v1/groups/${encodeURIComponent(name)}?ages=true`, signal });
      const lag = sumOfLag(group.partitions);
      if (lag !== null) lagHistory.add(name, lag);
      return group;
    },
    { everyMs: refreshMs },
  );
  const soon = useDebounced(read.reload);
  useWatch(`/consumers/${name}`, 'recursive', { transaction: soon, resync: () => {} });
  const [action, setAction] = useState<'reset' | 'delete' | undefined>(undefined);
  const group = read.data;
  const actions =
    isReadOnly || !group ? undefined : (
      <>
        <Button icon="refresh" onClick={() => setAction('reset')}>
          Reset offsets
        </Button>
        <Button icon="trash" kind="danger" onClick={() => setAction('delete')}>
          Delete
        </Button>
      </>
    );
  return (
    <>
      <PageHead
        title={
          <>
            <span class="mono">{name}</span> {group && <StateBadge state={group.state} />}
          </>
        }
        above={{ text: 'Groups', href: linkTo('groups') }}
        actions={actions}
      />
      {read.error !== undefined && <Problem error={read.error} onRetry={read.reload} />}
      {group && (
        <>
          <Tiles group={group} />
          <Assignment group={group} />
          {group.partitions.length > 0 && <PartitionLags partitions={group.partitions} />}
          <div class="halves">
            <GroupMembers members={group.members} />
            <Timeline group={name} />
          </div>
          {action === 'reset' && (
            <ResetOffsets group={group} onClose={() => setAction(undefined)} onDone={read.reload} />
          )}
          {action === 'delete' && (
            <DeleteGroup group={group} onClose={() => setAction(undefined)} onDeleted={() => go(linkTo('groups'))} />
          )}
        </>
      )}
    </>
  );
}

/** A function that runs once for many calls that come together. */
function useDebounced(run: () => void): () => void {
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  return () => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      run();
    }, debounceMs);
  };
}

function Tiles({ group: { groupId, members, partitions, groupEpoch, assignor, partitionsLeftOut } }: { group: Group }) {
  const lag = sumOfLag(partitions);
  const age = oldestAge(partitions);
  const idle = partitions.filter(({ owner }) => owner === null).length;
  return (
    <div class="tiles">
      <Tile label="Lag" value={count(lag)} note={lag === null ? 'not known: a log is away' : 'records to read'}>
        <Sparkline values={lagHistory.of(groupId)} label={`Lag over the last minutes, now ${count(lag)}`} />
      </Tile>
      <Tile
        label="Oldest unread record"
        value={age === null ? nothing : age === 0 ? 'none' : duration(age)}
        note={age === 0 ? 'the group has caught up' : age === null ? 'not known' : 'has been waiting'}
      />
      <Tile
        label="Members"
        value={count(members.length)}
        note={members.length > 0 ? `assignor ${assignor}` : 'nobody reads'}
      />
      <Tile
        label="Partitions"
        value={count(partitions.length)}
        note={
          idle > 0 && members.length > 0 ? (
            <Badge kind="warn">{compact(idle)} without an owner</Badge>
          ) : (
            `group epoch ${groupEpoch}`
          )
        }
      />
      {partitionsLeftOut !== undefined && (
        <Tile
          label="Left out"
          kind="bad"
          value={count(partitionsLeftOut)}
          note={`${counted(partitionsLeftOut, 'partition')} beyond the limit of a group`}
        />
      )}
    </div>
  );
}

function Assignment({ group }: { group: Group }) {
  const matrices = assignmentMatrices(group);
  const wanted = [...new Set(group.members.flatMap(({ topics }) => topics ?? []))].sort();
  if (matrices.length === 0 && wanted.length > 0)
    return (
      <Panel>
        <Empty
          icon="topics"
          title={`The group waits for ${counted(wanted.length, 'topic')}`}
          action={<a href={linkTo('topics')}>To the topics</a>}
        >
          Its members want to read <code>{wanted.slice(0, namesMax).join(', ')}</code>
          {wanted.length > namesMax && ' and more'}, which nobody has created. They begin as soon as{' '}
          {wanted.length === 1 ? 'it is' : 'one of them is'} there.
        </Empty>
      </Panel>
    );
  if (matrices.length === 0)
    return (
      <Panel>
        <Empty icon="groups" title="This group reads nothing yet">
          It has no members with a topic, and has committed nothing. Start a member with{' '}
          <code>weir consume -g {group.groupId} TOPIC</code>.
        </Empty>
      </Panel>
    );
  return (
    <div class="matrices">
      {matrices.map((matrix) => (
        <Matrix key={matrix.topic} matrix={matrix} members={group.members} />
      ))}
    </div>
  );
}
