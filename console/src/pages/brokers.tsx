// Brokers: who is alive and leads what, and how to lead it evenly again.
import type { Brokers as BrokerList } from '@weirkeeper/client';
import '../styles/log.css';
import { useMemo, useState } from 'preact/hooks';
import { leadersMatrix } from '../brokers/leaders.ts';
import { TopicLeaders } from '../brokers/topic-leaders.tsx';
import { brokers, cluster } from '../live/cluster.ts';
import { useResource } from '../live/resource.ts';
import { api } from '../live/session.ts';
import { go, linkTo, route, setQuery } from '../router.ts';
import { useTopics } from '../topics/topic-list.ts';
import { count, counted, nothing } from '../ui/format.ts';
import { Ago, Badge, Bar, Empty, PageHead, Panel, Problem } from '../ui/parts.tsx';
import { type Column, Table } from '../ui/table.tsx';

type BrokerRow = BrokerList['brokers'][number];

const refreshMs = 3000;
const tableHeight = '50vh';

export default function Brokers() {
  const list = useResource('brokers', () => api().request<BrokerList>({ path: '/v1/brokers' }), { everyMs: refreshMs });
  const rows = list.data?.brokers ?? brokers.value;
  const led = rows.reduce((sum, { partitionsLed }) => sum + partitionsLed, 0);
  const [topic] = route.value.parts;
  return (
    <>
      <PageHead title="Brokers" />
      {list.error !== undefined && <Problem error={list.error} onRetry={list.reload} />}
      <Panel isFlush title={counted(rows.length, 'broker')}>
        <Table
          label="Brokers"
          columns={columnsOf(led)}
          rows={rows}
          keyOf={({ id, worker }) => `${id} ${worker}`}
          height={tableHeight}
        />
        {rows.length === 1 && (
          <p class="table-note hint">
            One broker serves everything. Others join with the same Redis: <code>weir serve --redis-url …</code>, or see
            how it looks with <code>weir demo --cluster</code>.
          </p>
        )}
      </Panel>
      <Leaders alive={rows.map(({ id }) => id)} open={topic} />
    </>
  );
}

const columnsOf = (ledInAll: number): readonly Column<BrokerRow>[] => [
  {
    id: 'id',
    head: 'Broker',
    width: '150px',
    isNumber: false,
    sortBy: ({ id }) => id,
    cell: ({ id, isController }) => (
      <>
        <b>{id}</b> {isController && <Badge kind="accent">controller</Badge>}
      </>
    ),
  },
  { id: 'url', head: 'Address', cell: ({ url }) => <span class="mono">{url}</span> },
  {
    id: 'rack',
    head: 'Rack',
    width: '90px',
    isMinor: true,
    cell: ({ rack }) => rack ?? nothing,
  },
  { id: 'version', head: 'Version', width: '90px', isMinor: true, cell: ({ version }) => version ?? nothing },
  { id: 'started', head: 'Started', width: '110px', isMinor: true, cell: ({ startedAt }) => <Ago at={startedAt} /> },
  {
    id: 'connections',
    head: 'Connections',
    width: '110px',
    isNumber: true,
    isMinor: true,
    cell: ({ connections }) => count(connections),
  },
  {
    id: 'led',
    head: 'Leads',
    width: '120px',
    isNumber: true,
    sortBy: ({ partitionsLed }) => partitionsLed,
    cell: ({ id, partitionsLed }) => (
      <span class="cell-meter">
        {count(partitionsLed)}
        {ledInAll > 0 && (
          <Bar share={partitionsLed / ledInAll} label={`Share of the partitions that broker ${id} leads`} />
        )}
      </span>
    ),
  },
];

function Leaders({ alive, open }: { alive: readonly number[]; open: string | undefined }) {
  const list = useTopics();
  const [onlyBad, setOnlyBad] = useState(false);
  const filter = route.value.query.get('find') ?? '';
  const topics = list.data?.topics;
  const matrix = useMemo(() => leadersMatrix(topics ?? [], alive), [topics, alive.join()]);
  const rows = useMemo(
    () =>
      matrix.rows.filter(
        ({ topic, offline, notPreferred }) =>
          topic.toLowerCase().includes(filter.toLowerCase()) && (!onlyBad || offline + notPreferred > 0),
      ),
    [matrix, filter, onlyBad],
  );
  const controller = cluster.value?.controller?.brokerId;
  if (list.error !== undefined && !topics) return <Problem error={list.error} onRetry={list.reload} />;
  if (!topics) return null;
  if (topics.length === 0)
    return (
      <Panel title="Leaders">
        <Empty
          icon="brokers"
          title="There is nothing to lead yet"
          action={<a href={linkTo('topics')}>To the topics</a>}
        >
          Each partition of a topic has a broker that leads it: it deletes what is too old, and compacts. Create a
          topic, and see who leads it.
        </Empty>
      </Panel>
    );
  return (
    <>
      <Panel
        isFlush
        title="Leaders"
        actions={
          <>
            {matrix.offline > 0 && <Badge kind="bad">{counted(matrix.offline, 'partition')} without a leader</Badge>}
            {matrix.notPreferred > 0 && (
              <button
                class="button"
                type="button"
                aria-pressed={onlyBad}
                onClick={() => setOnlyBad(!onlyBad)}
                title="Show only topics with partitions that another broker leads than the preferred one"
              >
                {count(matrix.notPreferred)} not preferred
              </button>
            )}
            <input
              class="input"
              type="search"
              aria-label="Find topics by name"
              placeholder="Find by name"
              value={filter}
              onInput={(event) => setQuery({ find: event.currentTarget.value })}
            />
          </>
        }
      >
        <Table
          label="Topics and the brokers that lead them"
          columns={[
            topicColumn,
            ...matrix.brokerIds.map((id) => brokerColumn(id, id === controller, alive.includes(id))),
            stateColumn,
          ]}
          rows={rows}
          keyOf={({ topic }) => topic}
          onOpen={({ topic }) => go(linkTo('brokers', topic === open ? [] : [topic], { find: filter }))}
          selected={open}
          height={tableHeight}
        />
      </Panel>
      {open !== undefined && open !== '' && (
        <TopicLeaders
          key={open}
          name={open}
          alive={alive}
          onClose={() => go(linkTo('brokers', [], { find: filter }))}
        />
      )}
    </>
  );
}

type LeadersRow = ReturnType<typeof leadersMatrix>['rows'][number];

const topicColumn: Column<LeadersRow> = {
  id: 'topic',
  head: 'Topic',
  sortBy: ({ topic }) => topic,
  cell: ({ topic }) => (
    <a class="mono" href={linkTo('brokers', [topic])} title={topic} tabIndex={-1}>
      {topic}
    </a>
  ),
};

const stateColumn: Column<LeadersRow> = {
  id: 'state',
  head: 'State',
  width: '150px',
  isMinor: true,
  sortBy: ({ offline, notPreferred }) => offline * 1e6 + notPreferred,
  cell: ({ offline, notPreferred }) =>
    offline > 0 ? (
      <Badge kind="bad">{offline} without a leader</Badge>
    ) : notPreferred > 0 ? (
      <Badge kind="warn">{notPreferred} not preferred</Badge>
    ) : (
      <Badge kind="good">as preferred</Badge>
    ),
};

function brokerColumn(id: number, isController: boolean, isAlive: boolean): Column<LeadersRow> {
  return {
    id: `broker-${id}`,
    head: `${id}${isController ? ' (controller)' : isAlive ? '' : ' (gone)'}`,
    isNumber: true,
    sortBy: ({ led }) => led.get(id) ?? 0,
    cell: ({ led, partitions }) => {
      const own = led.get(id) ?? 0;
      return (
        <span class="heat" data-none={own === 0} style={{ '--heat': `${Math.round((own / partitions) * 100)}%` }}>
          {own === 0 ? <span class="hint">0</span> : own}
        </span>
      );
    },
  };
}
