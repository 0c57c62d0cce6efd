// Each partition of a group: who reads it, how far, and how long records wait there.
import { linkTo } from '../router.ts';
import { count, duration, nothing } from '../ui/format.ts';
import { Badge, Panel } from '../ui/parts.tsx';
import { type Column, Table } from '../ui/table.tsx';
import type { PartitionLag } from './assignment-matrix.ts';

export function PartitionLags({ partitions }: { partitions: readonly PartitionLag[] }) {
  return (
    <Panel title="Partitions" isFlush>
      <Table
        label="Partitions of the group"
        columns={columns}
        rows={partitions}
        keyOf={({ topic, partition }) => `${topic} ${partition}`}
        height="40vh"
      />
    </Panel>
  );
}

const columns: readonly Column<PartitionLag>[] = [
  {
    id: 'topic',
    head: 'Topic',
    sortBy: ({ topic }) => topic,
    cell: ({ topic, partition }) => (
      <a class="mono" href={linkTo('topics', [topic], { partition })}>
        {topic}
      </a>
    ),
  },
  {
    id: 'partition',
    head: 'Part.',
    width: '56px',
    isNumber: true,
    sortBy: ({ partition }) => partition,
    cell: ({ partition }) => partition,
  },
  {
    id: 'owner',
    head: 'Owner',
    isMinor: true,
    sortBy: ({ owner }) => owner ?? '',
    cell: ({ owner }) =>
      owner === null ? (
        <span class="hint">nobody</span>
      ) : (
        <span class="mono" title={owner}>
          {owner}
        </span>
      ),
  },
  {
    id: 'committed',
    head: 'Committed',
    width: '110px',
    isNumber: true,
    isMinor: true,
    cell: ({ committed, lagFrom }) =>
      committed === null ? (
        <span class="hint" title="Nothing is committed: the reset policy says where the group begins">
          {lagFrom ?? 'nothing'}
        </span>
      ) : (
        count(committed)
      ),
  },
  {
    id: 'end',
    head: 'End',
    width: '110px',
    isNumber: true,
    isMinor: true,
    cell: ({ endOffset, error }) => (error ? <Badge kind="bad">log away</Badge> : count(endOffset)),
  },
  {
    id: 'lag',
    head: 'Lag',
    width: '84px',
    isNumber: true,
    sortBy: ({ lag }) => lag ?? -1,
    cell: ({ lag }) => count(lag),
  },
  {
    id: 'age',
    head: 'Waiting',
    width: '84px',
    isNumber: true,
    sortBy: ({ lagMs }) => lagMs ?? -1,
    cell: ({ lagMs }) => (lagMs ? duration(lagMs) : nothing),
  },
];
