// The groups that read a topic, and how far they are behind.
import { linkTo } from '../router.ts';
import { count } from '../ui/format.ts';
import { Empty, Panel, Problem } from '../ui/parts.tsx';
import { type Column, Table } from '../ui/table.tsx';
import { type TopicSummary, useTopics } from './topic-list.ts';

type Reader = NonNullable<TopicSummary['groups']>[number];

export function Readers({ topic }: { topic: string }) {
  const list = useTopics();
  const groups = list.data?.topics.find(({ name }) => name === topic)?.groups;
  if (list.error !== undefined && !groups) return <Problem error={list.error} onRetry={list.reload} />;
  if (!groups) return null;
  return (
    <Panel isFlush>
      {groups.length === 0 ? (
        <Empty icon="groups" title="No group reads this topic">
          The members of a group share the partitions of a topic. Start one with{' '}
          <code>weir consume -g my-group {topic}</code>.
        </Empty>
      ) : (
        <Table label={`Groups that read ${topic}`} columns={columns} rows={groups} keyOf={({ group }) => group} />
      )}
    </Panel>
  );
}

const columns: readonly Column<Reader>[] = [
  {
    id: 'group',
    head: 'Group',
    sortBy: ({ group }) => group,
    cell: ({ group }) => <a href={linkTo('groups', [group])}>{group}</a>,
  },
  {
    id: 'lag',
    head: 'Records to read',
    isNumber: true,
    sortBy: ({ lag }) => lag,
    cell: ({ lag }) => count(lag),
  },
];
