// Topics: the list with what flows through each, and the page of one.
import { useMemo, useRef, useState } from 'preact/hooks';
import '../styles/log.css';
import { isReadOnly } from '../live/session.ts';
import { go, linkTo, route, setQuery } from '../router.ts';
import { CreateTopic } from '../topics/create-topic.tsx';
import { useSettingsWatch, useTopicDetails } from '../topics/topic-details.ts';
import { largestLag, ratesOf, type TopicSummary, useTopics } from '../topics/topic-list.ts';
import { TopicPage } from '../topics/topic-page.tsx';
import { bytes, compact, count, counted } from '../ui/format.ts';
import { useKeys } from '../ui/keys.ts';
import { Badge, Bar, Button, Empty, PageHead, Panel, Problem } from '../ui/parts.tsx';
import { Sparkline } from '../ui/sparkline.tsx';
import { type Column, Table } from '../ui/table.tsx';

export default function Topics() {
  const [name] = route.value.parts;
  return name === undefined || name === '' ? <TopicsList /> : <TopicPage key={name} name={name} />;
}

function TopicsList() {
  const list = useTopics();
  useSettingsWatch();
  const [isCreating, setCreating] = useState(false);
  const find = useRef<HTMLInputElement>(null);
  useKeys('Topics', [
    { keys: 'f', does: 'find by name', run: () => find.current?.focus() },
    ...(isReadOnly ? [] : [{ keys: 'n', does: 'new topic', run: () => setCreating(true) }]),
  ]);
  const filter = route.value.query.get('find') ?? '';
  const topics = list.data?.topics;
  const shown = useMemo(() => {
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    return (topics ?? []).filter(({ name }) => words.every((word) => name.toLowerCase().includes(word)));
  }, [topics, filter]);
  const create = isReadOnly ? undefined : (
    <Button icon="plus" kind="primary" onClick={() => setCreating(true)}>
      New topic
    </Button>
  );
  return (
    <>
      <PageHead title="Topics" actions={create} />
      {list.error !== undefined && <Problem error={list.error} onRetry={list.reload} />}
      {topics?.length === 0 && (
        <Panel>
          <Empty icon="topics" title="No topics yet" action={create}>
            A topic is a log that many can append to and read from. Create one with the button, or with{' '}
            <code>weir topic create clicks</code>, and then <code>weir produce clicks</code>.
          </Empty>
        </Panel>
      )}
      {topics !== undefined && topics.length > 0 && (
        <Panel
          isFlush
          title={counted(topics.length, 'topic')}
          actions={
            <input
              ref={find}
              class="input"
              type="search"
              aria-label="Find topics by name"
              placeholder="Find by name"
              value={filter}
              onInput={(event) => setQuery({ find: event.currentTarget.value })}
            />
          }
        >
          <Table
            label="Topics"
            columns={columns}
            rows={shown}
            keyOf={({ topicId }) => topicId}
            onOpen={({ name }) => go(linkTo('topics', [name]))}
          />
          {shown.length === 0 && <p class="table-note hint">No topic has “{filter}” in its name.</p>}
          {list.data?.hasMore && (
            <p class="table-note hint">
              These are the first {count(topics.length)} by name. The search (Ctrl K) and <code>weir topic ls</code>{' '}
              find the others.
            </p>
          )}
        </Panel>
      )}
      {isCreating && <CreateTopic onClose={() => setCreating(false)} />}
    </>
  );
}

const columns: readonly Column<TopicSummary>[] = [
  {
    id: 'name',
    head: 'Topic',
    sortBy: ({ name }) => name,
    cell: ({ name }) => (
      <a class="mono row-link" href={linkTo('topics', [name])} title={name} tabIndex={-1}>
        {name}
      </a>
    ),
  },
  {
    id: 'partitions',
    head: 'Partitions',
    width: '96px',
    isNumber: true,
    isMinor: true,
    sortBy: ({ partitions }) => partitions,
    cell: (topic) => <PartitionCount topic={topic} />,
  },
  {
    id: 'records',
    head: 'Records',
    width: '88px',
    isNumber: true,
    sortBy: ({ records }) => records ?? -1,
    cell: ({ records }) => <span title={count(records)}>{compact(records)}</span>,
  },
  {
    id: 'bytes',
    head: 'Bytes',
    width: '104px',
    isNumber: true,
    isMinor: true,
    sortBy: ({ bytes: size }) => size ?? -1,
    cell: (topic) => <Bytes topic={topic} />,
  },
  {
    id: 'in',
    head: 'In',
    width: '128px',
    isNumber: true,
    isMinor: true,
    sortBy: ({ inPerSec = 0 }) => inPerSec,
    cell: ({ topicId, inPerSec = 0 }) => (
      <Rate perSec={inPerSec} values={ratesOf(topicId).incoming} what="records appended" />
    ),
  },
  {
    id: 'out',
    head: 'Out',
    width: '128px',
    isNumber: true,
    isMinor: true,
    sortBy: ({ outPerSec = 0 }) => outPerSec,
    cell: ({ topicId, outPerSec = 0 }) => (
      <Rate perSec={outPerSec} values={ratesOf(topicId).outgoing} what="records read" />
    ),
  },
  {
    id: 'groups',
    head: 'Groups',
    width: '80px',
    isNumber: true,
    isMinor: true,
    sortBy: ({ groups = [] }) => groups.length,
    cell: ({ groups = [] }) => groups.length,
  },
  {
    id: 'lag',
    head: 'Lag',
    width: '84px',
    isNumber: true,
    sortBy: largestLag,
    cell: (topic) => <Lag topic={topic} />,
  },
];

function PartitionCount({ topic: { partitions, leaders = [] } }: { topic: TopicSummary }) {
  const offline = leaders.find(({ brokerId }) => brokerId < 0)?.partitions ?? 0;
  if (offline === 0) return <>{count(partitions)}</>;
  return (
    <>
      {count(partitions)} <Badge kind="bad">{offline} offline</Badge>
    </>
  );
}

function Bytes({ topic: { name, topicId, partitions, bytes: size } }: { topic: TopicSummary }) {
  const retention = useTopicDetails(name, topicId)?.config['retention.bytes'] ?? -1;
  const max = retention * partitions;
  if (retention < 0 || size === null || size === undefined) return <>{bytes(size)}</>;
  const share = size / max;
  return (
    <span class="cell-meter" title={`${bytes(size)} of ${bytes(max)}, the limit of retention.bytes`}>
      {bytes(size)}
      <Bar share={share} label={`Share of the retention of ${name}`} kind={share > 0.9 ? 'warn' : 'accent'} />
    </span>
  );
}

function Rate({ perSec, values, what }: { perSec: number; values: readonly number[]; what: string }) {
  const text = `${perSec > 0 && perSec < 10 ? perSec.toFixed(1) : compact(perSec)}/s`;
  return (
    <span class="cell-spark">
      {values.some((value) => value > 0) && (
        <Sparkline values={values} label={`${text} ${what}, over the last minutes`} />
      )}
      <span>{text}</span>
    </span>
  );
}

/** Of the group that is most behind; the others are in the tooltip. */
function Lag({ topic }: { topic: TopicSummary }) {
  const { groups = [] } = topic;
  if (groups.length === 0) return <span class="hint">none</span>;
  const lag = largestLag(topic);
  return (
    <span
      title={groups
        .map(({ group, lag }) => `${group}: ${count(lag)}`)
        .slice(0, 10)
        .join('\n')}
    >
      {compact(lag)}
    </span>
  );
}
