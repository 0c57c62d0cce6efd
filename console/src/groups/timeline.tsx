// What has happened in a group, the newest first: the changes of its nodes in the tree, told in words, and followed live.
import type { EventHistory } from '@weirkeeper/client';
import { useCallback, useState } from 'preact/hooks';
import { api } from '../live/session.ts';
import { useWatch } from '../live/watch.ts';
import { linkTo } from '../router.ts';
import { counted } from '../ui/format.ts';
import { Ago, Panel, Problem } from '../ui/parts.tsx';
import { rangesOf } from './assignment-matrix.ts';
import { type GroupChange, type GroupStep, groupSteps, withSteps, withTimes } from './rebalances.ts';

const stepsMax = 200;
const pageMax = 200;
/** A page of the history may hold nothing of the group; so many are looked at. */
const pagesMax = 5;

export function Timeline({ group }: { group: string }) {
  const [steps, setSteps] = useState<readonly GroupStep[]>([]);
  const [error, setError] = useState<unknown>(undefined);
  const add = useCallback((arrived: readonly GroupStep[]) => setSteps((old) => withSteps(old, arrived, stepsMax)), []);
  useWatch(`/consumers/${group}`, 'recursive', {
    // The owners are named by the data of their nodes, which the history has.
    transaction: ({ zxid }) => void history(group, zxid + 1, 1).then(add, () => {}),
    resync: () => void history(group, undefined, pagesMax).then(add, setError),
    failed: setError,
  });
  return (
    <Panel
      title="What happened"
      actions={
        <a class="button" href={linkTo('activity', [], { path: `/consumers/${group}` })}>
          All changes
        </a>
      }
    >
      {error !== undefined && <Problem error={error} />}
      {steps.length === 0 && error === undefined && (
        <p class="hint">Nothing that is still in the history. Members that join or stop appear here.</p>
      )}
      <ol class="timeline">
        {withTimes(steps).map(({ zxid, at, changes }) => (
          <li key={zxid}>
            <span class="timeline-at">
              {at === undefined ? <span class="hint">earlier</span> : <Ago at={at} />}
              <span class="hint" title="The number of the transaction">
                {zxid}
              </span>
            </span>
            <ul>
              {changes.map((change, index) => (
                <li key={String(index)} data-kind={change.kind}>
                  <Change change={change} />
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ol>
    </Panel>
  );
}

function Change({ change: { kind, member, topic, partitions } }: { change: GroupChange }) {
  const what = (
    <>
      {counted(partitions.length, 'partition')} of <span class="mono">{topic}</span>{' '}
      <span class="hint">{rangesOf(partitions)}</span>
    </>
  );
  const who = <b class="mono">{member}</b>;
  if (kind === 'joined') return <>{who} joined</>;
  if (kind === 'left') return <>{who} is gone</>;
  if (kind === 'released') return <>{what} given up</>;
  return (
    <>
      {who} took over {what}
    </>
  );
}

async function history(group: string, before: number | undefined, pages: number): Promise<GroupStep[]> {
  const steps: GroupStep[] = [];
  let next = before;
  for (let page = 0; page < pages; page += 1) {
    const query = new URLSearchParams({
      path: `/consumers/${group}`,
      limit: String(before === undefined ? pageMax : 1),
      data: 'true',
      ...(next !== undefined && { before: String(next) }),
    });
    const found = await api().request<EventHistory>({ path: `/v1/events?${query}` });
    steps.push(...groupSteps(group, found.transactions));
    next = found.next;
    if (next === undefined || steps.length >= stepsMax) break;
  }
  return steps;
}
