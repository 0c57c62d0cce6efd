// The partitions of a topic: where each log begins and ends, how large it is, and who leads it.
import type { Partition, Topic } from '@weirkeeper/client';
import { linkTo } from '../router.ts';
import { bytes, count, nothing } from '../ui/format.ts';
import { Badge, Panel } from '../ui/parts.tsx';
import { type Column, Table } from '../ui/table.tsx';

export function Partitions({ topic: { name, partitions } }: { topic: Topic }) {
  return (
    <Panel isFlush>
      <Table
        label={`Partitions of ${name}`}
        columns={columnsOf(name)}
        rows={partitions}
        keyOf={({ partition }) => String(partition)}
      />
    </Panel>
  );
}

const columnsOf = (topic: string): Column<Partition>[] => [
  {
    id: 'partition',
    head: 'Partition',
    width: '90px',
    isNumber: true,
    sortBy: ({ partition }) => partition,
    cell: ({ partition }) => <a href={linkTo('topics', [topic], { partition })}>{partition}</a>,
  },
  {
    id: 'start',
    head: 'First offset',
    isNumber: true,
    isMinor: true,
    cell: ({ logStartOffset }) => count(logStartOffset),
  },
  { id: 'end', head: 'End offset', isNumber: true, cell: ({ endOffset }) => count(endOffset) },
  {
    id: 'records',
    head: 'Records',
    isNumber: true,
    sortBy: recordsIn,
    cell: (partition) => (partition.endOffset === null ? nothing : count(recordsIn(partition))),
  },
  {
    id: 'bytes',
    head: 'Bytes',
    isNumber: true,
    sortBy: ({ bytes: size }) => size ?? -1,
    cell: ({ bytes: size }) => bytes(size),
  },
  {
    id: 'leader',
    head: 'Leader',
    cell: ({ leader, replicas, error }) =>
      leader < 0 ? (
        <Badge kind="bad">no leader</Badge>
      ) : (
        <>
          {leader} {leader !== replicas[0] && <Badge kind="warn">not preferred</Badge>}
          {error && <Badge kind="bad">log away</Badge>}
        </>
      ),
  },
  {
    id: 'isr',
    head: 'In sync of replicas',
    isMinor: true,
    cell: ({ isr, replicas }) => (
      <>
        {isr.join(', ') || 'none'} <span class="hint">of {replicas.join(', ')}</span>
      </>
    ),
  },
];

function recordsIn({ endOffset, logStartOffset }: Partition): number {
  return (endOffset ?? 0) - (logStartOffset ?? 0);
}
