// Groups: the list with their lag, and the page of one.
import type { Groups as GroupsPage } from '@weirkeeper/client';
import '../styles/log.css';
import { useMemo, useRef } from 'preact/hooks';
import { GroupPage } from '../groups/group-page.tsx';
import { lagHistory, StateBadge } from '../groups/group-parts.tsx';
import { useResource } from '../live/resource.ts';
import { api } from '../live/session.ts';
import { useWatch } from '../live/watch.ts';
import { go, linkTo, route, setQuery } from '../router.ts';
import { compact, count, counted } from '../ui/format.ts';
import { useKeys } from '../ui/keys.ts';
import { Empty, PageHead, Panel, Problem } from '../ui/parts.tsx';
import { Sparkline } from '../ui/sparkline.tsx';
import { type Column, Table } from '../ui/table.tsx';

type GroupSummary = GroupsPage['groups'][number];

/** All that the console lists; the search finds others. */
const groupsMax = 5000;
const pageMax = 1000;
const refreshMs = 2500;

export default function Groups() {
  const [name] = route.value.parts;
  return name === undefined || name === '' ? <GroupsList /> : <GroupPage key={name} name={name} />;
}

async function readGroups(signal: AbortSignal) {
  const groups: GroupSummary[] = [];
  let after: string | undefined;
  do {
    const query = new URLSearchParams({
      view: 'summary',
      limit: String(pageMax),
      ...(after !== undefined && { after }),
    });
    const page: GroupsPage = await api().request({ path: `/v1/groups?${query}`, signal });
    groups.push(...page.groups);
    after = page.next;
  } while (after !== undefined && groups.length < groupsMax);
  for (const { groupId, lag } of groups) if (typeof lag === 'number') lagHistory.add(groupId, lag);
  return { groups, hasMore: after !== undefined };
}

function GroupsList() {
  const list = useResource('groups', readGroups, { everyMs: refreshMs });
  useWatch('/consumers', 'children', { transaction: list.reload, resync: () => {} });
  const filter = route.value.query.get('find') ?? '';
  const groups = list.data?.groups;
  const find = useRef<HTMLInputElement>(null);
  useKeys('Groups', [{ keys: 'f', does: 'find by name', run: () => find.current?.focus() }]);
  const shown = useMemo(() => {
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    return (groups ?? []).filter(({ groupId }) => words.every((word) => groupId.toLowerCase().includes(word)));
  }, [groups, filter]);
  return (
    <>
      <PageHead title="Groups" />
      {list.error !== undefined && <Problem error={list.error} onRetry={list.reload} />}
      {groups?.length === 0 && (
        <Panel>
          <Empty icon="groups" title="No groups yet">
            A group appears when its first member joins: <code>weir consume -g billing orders</code>. Its members share
            the partitions, and the group remembers how far it has read.
          </Empty>
        </Panel>
      )}
      {groups !== undefined && groups.length > 0 && (
        <Panel
          isFlush
          title={counted(groups.length, 'group')}
          actions={
            <input
              ref={find}
              class="input"
              type="search"
              aria-label="Find groups by name"
              placeholder="Find by name"
              value={filter}
              onInput={(event) => setQuery({ find: event.currentTarget.value })}
            />
          }
        >
          <Table
            label="Groups"
            columns={columns}
            rows={shown}
            keyOf={({ groupId }) => groupId}
            onOpen={({ groupId }) => go(linkTo('groups', [groupId]))}
          />
          {shown.length === 0 && <p class="table-note hint">No group has “{filter}” in its name.</p>}
          {list.data?.hasMore && <p class="table-note hint">These are the first {count(groups.length)} by name.</p>}
        </Panel>
      )}
    </>
  );
}

const columns: readonly Column<GroupSummary>[] = [
  {
    id: 'group',
    head: 'Group',
    sortBy: ({ groupId }) => groupId,
    cell: ({ groupId }) => (
      <a class="mono row-link" href={linkTo('groups', [groupId])} title={groupId} tabIndex={-1}>
        {groupId}
      </a>
    ),
  },
  {
    id: 'state',
    head: 'State',
    width: '130px',
    sortBy: ({ state }) => state,
    cell: ({ state }) => <StateBadge state={state} />,
  },
  {
    id: 'members',
    head: 'Members',
    width: '90px',
    isNumber: true,
    isMinor: true,
    sortBy: ({ members }) => members,
    cell: ({ members }) => count(members),
  },
  {
    id: 'topics',
    head: 'Topics',
    isMinor: true,
    cell: ({ topics = [] }) => <span title={topics.join('\n')}>{topics.join(', ')}</span>,
  },
  {
    id: 'lag',
    head: 'Lag',
    width: '170px',
    isNumber: true,
    sortBy: ({ lag }) => lag ?? -1,
    cell: ({ groupId, lag }) => (
      <span class="cell-spark">
        {lagHistory.of(groupId).some((value) => value > 0) && (
          <Sparkline values={lagHistory.of(groupId)} label={`Lag ${count(lag)}, over the last minutes`} />
        )}
        <span title={count(lag)}>{compact(lag)}</span>
      </span>
    ),
  },
  {
    id: 'max',
    head: 'Largest of a partition',
    width: '160px',
    isNumber: true,
    isMinor: true,
    sortBy: ({ maxLag }) => maxLag ?? -1,
    cell: ({ maxLag }) => <span title={count(maxLag)}>{compact(maxLag)}</span>,
  },
];
