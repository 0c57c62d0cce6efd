// One topic: its records, partitions, readers and settings, and what can be done with it.
import type { Topic } from '@weirkeeper/client';
import { useState } from 'preact/hooks';
import { useResource } from '../live/resource.ts';
import { api, isReadOnly } from '../live/session.ts';
import { useWatch } from '../live/watch.ts';
import { RecordsView } from '../records/records-view.tsx';
import { go, linkTo, route } from '../router.ts';
import { bytes, count, counted } from '../ui/format.ts';
import { Button, PageHead, Problem } from '../ui/parts.tsx';
import { Partitions } from './partitions.tsx';
import { Readers } from './readers.tsx';
import { SettingsForm } from './settings-form.tsx';
import { AddPartitions, DeleteTopic, Truncate } from './topic-actions.tsx';

const tabs = [
  { id: 'records', text: 'Records' },
  { id: 'partitions', text: 'Partitions' },
  { id: 'groups', text: 'Groups' },
  { id: 'settings', text: 'Settings' },
] as const;

type Action = 'partitions' | 'truncate' | 'delete';
const refreshMs = 3000;

export function TopicPage({ name }: { name: string }) {
  const topic = useResource(`topic ${name}`, () => api().admin.topics.describe(name), { everyMs: refreshMs });
  useWatch(`/brokers/topics/${name}`, 'recursive', { transaction: topic.reload, resync: () => {} });
  useWatch(`/config/topics/${name}`, 'node', { transaction: topic.reload, resync: () => {} });
  const [action, setAction] = useState<Action | undefined>(undefined);
  const tab = tabs.find(({ id }) => id === route.value.query.get('tab'))?.id ?? 'records';
  const close = () => {
    setAction(undefined);
    topic.reload();
  };
  const actions =
    isReadOnly || !topic.data ? undefined : (
      <>
        <Button icon="plus" onClick={() => setAction('partitions')}>
          Add partitions
        </Button>
        <Button onClick={() => setAction('truncate')}>Truncate</Button>
        <Button icon="trash" kind="danger" onClick={() => setAction('delete')}>
          Delete
        </Button>
      </>
    );
  return (
    <>
      <PageHead
        title={<span class="mono">{name}</span>}
        above={{ text: 'Topics', href: linkTo('topics') }}
        actions={actions}
      >
        {topic.data && <Summary topic={topic.data} />}
      </PageHead>
      {topic.error !== undefined && <Problem error={topic.error} onRetry={topic.reload} />}
      {topic.data && (
        <>
          <nav class="tabs page-tabs" aria-label="Parts of the topic">
            {tabs.map(({ id, text }) => (
              <a
                key={id}
                href={linkTo('topics', [name], { tab: id === 'records' ? undefined : id })}
                aria-current={id === tab ? 'page' : undefined}
              >
                {text}
              </a>
            ))}
          </nav>
          {tab === 'records' && <RecordsView topic={topic.data} />}
          {tab === 'partitions' && <Partitions topic={topic.data} />}
          {tab === 'groups' && <Readers topic={name} />}
          {tab === 'settings' && <SettingsForm topic={topic.data} onSaved={topic.reload} />}
          {action === 'partitions' && <AddPartitions topic={topic.data} onClose={close} />}
          {action === 'truncate' && <Truncate topic={topic.data} onClose={close} />}
          {action === 'delete' && (
            <DeleteTopic
              topic={topic.data}
              onClose={() => setAction(undefined)}
              onDeleted={() => go(linkTo('topics'))}
            />
          )}
        </>
      )}
    </>
  );
}

function Summary({ topic: { partitions, config } }: { topic: Topic }) {
  const known = partitions.filter(({ endOffset }) => endOffset !== null);
  const records = known.reduce(
    (sum, { endOffset, logStartOffset }) => sum + (endOffset ?? 0) - (logStartOffset ?? 0),
    0,
  );
  const size = known.reduce((sum, { bytes: of }) => sum + (of ?? 0), 0);
  const away = partitions.length - known.length;
  return (
    <span class="facts-line">
      <span>{counted(partitions.length, 'partition')}</span>
      <span>
        {count(records)} {records === 1 ? 'record' : 'records'}
      </span>
      <span>{bytes(size)}</span>
      <span>cleanup: {config['cleanup.policy']}</span>
      {away > 0 && <strong class="bad">{counted(away, 'partition')} cannot be reached</strong>}
    </span>
  );
}
