// The partitions of one topic against the brokers: who leads, who is in sync, who is away; and how to change it.
import type { Partition } from '@weirkeeper/client';
import { useState } from 'preact/hooks';
import { useResource } from '../live/resource.ts';
import { api, isReadOnly } from '../live/session.ts';
import { useWatch } from '../live/watch.ts';
import { FormDialog } from '../ui/dialog.tsx';
import { Field } from '../ui/form.tsx';
import { counted } from '../ui/format.ts';
import { Button, IconButton, Panel, Problem } from '../ui/parts.tsx';
import { tell, tellError } from '../ui/toasts.tsx';
import { parseReplicas, roleOf } from './leaders.ts';

/** More rows would be slow; a topic with more is better looked at by `weir broker describe`. */
const shownMax = 200;
const marks = { leader: '★', 'in sync': '●', away: '○' } as const;

export function TopicLeaders({
  name,
  alive,
  onClose,
}: {
  name: string;
  alive: readonly number[];
  onClose: () => void;
}) {
  const topic = useResource(`leaders ${name}`, () => api().admin.topics.describe(name));
  useWatch(`/brokers/topics/${name}`, 'recursive', { transaction: topic.reload, resync: () => {} });
  const [moving, setMoving] = useState<Partition | undefined>(undefined);
  const partitions = topic.data?.partitions ?? [];
  const ids = [...new Set([...alive, ...partitions.flatMap(({ replicas }) => replicas)])].sort((a, b) => a - b);
  const elect = async () => {
    try {
      const result = await api().admin.elections.elect(name);
      const of = (outcome: string) => result.partitions.filter((each) => each.outcome === outcome).length;
      const away = of('preferredUnavailable');
      tell(
        `${counted(of('elected'), 'leader')} elected`,
        away > 0 ? `${counted(away, 'preferred leader')} not alive` : `${name}: the rest led already`,
      );
      topic.reload();
    } catch (error) {
      tellError(error);
    }
  };
  return (
    <Panel
      isFlush
      title={<span class="mono">{name}</span>}
      actions={
        <>
          {!isReadOnly && topic.data && <Button onClick={() => void elect()}>Elect the preferred leaders</Button>}
          <IconButton icon="close" label={`Close ${name}`} onClick={onClose} />
        </>
      }
    >
      {topic.error !== undefined && <Problem error={topic.error} onRetry={topic.reload} />}
      {topic.data && (
        <section class="matrix-frame" aria-label={`Partitions of ${name} and brokers`} tabIndex={0}>
          <table class="matrix">
            <thead>
              <tr>
                <th scope="col">Partition</th>
                {ids.map((id) => (
                  <th key={id} scope="col" class="number">
                    {id}
                  </th>
                ))}
                {!isReadOnly && <th scope="col">Replicas</th>}
              </tr>
            </thead>
            <tbody>
              {partitions.slice(0, shownMax).map((partition) => (
                <tr key={partition.partition}>
                  <th scope="row">{partition.partition}</th>
                  {ids.map((id) => {
                    const role = roleOf(partition, id);
                    const isPreferred = partition.replicas[0] === id;
                    return (
                      <td key={id} data-role={role} data-preferred={isPreferred}>
                        {role && (
                          <>
                            <span aria-hidden="true">{marks[role]}</span>
                            <span class="visually-hidden">
                              {role}
                              {isPreferred && ', preferred'}
                            </span>
                          </>
                        )}
                      </td>
                    );
                  })}
                  {!isReadOnly && (
                    <td>
                      <Button kind="quiet" onClick={() => setMoving(partition)}>
                        Reassign
                        <span class="visually-hidden"> partition {partition.partition}</span>
                      </Button>
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
          <p class="table-note legend hint">
            <span>★ leads</span>
            <span>● in sync (ISR)</span>
            <span>○ replica that is away</span>
            <span class="preferred-key">underlined: the preferred leader</span>
            {partitions.length > shownMax && <span>the first {shownMax} partitions</span>}
          </p>
        </section>
      )}
      {moving && (
        <Reassign
          topic={name}
          partition={moving}
          alive={alive}
          onClose={() => setMoving(undefined)}
          onDone={topic.reload}
        />
      )}
    </Panel>
  );
}

function Reassign({
  topic,
  partition: { partition, replicas },
  alive,
  onClose,
  onDone,
}: {
  topic: string;
  partition: Partition;
  alive: readonly number[];
  onClose: () => void;
  onDone: () => void;
}) {
  const [text, setText] = useState(replicas.join(', '));
  const parsed = parseReplicas(text, alive);
  const wanted = 'replicas' in parsed ? parsed.replicas : [];
  return (
    <FormDialog
      title={`Reassign partition ${partition} of ${topic}`}
      submit="Reassign"
      isReady={'replicas' in parsed && wanted.join() !== replicas.join()}
      onClose={onClose}
      onSubmit={async () => {
        await api().admin.partitions.reassign({ topic, partition }, wanted);
        onClose();
        onDone();
        tell(`Partition ${partition} of ${topic} is reassigned`, `Replicas ${wanted.join(', ')}`);
      }}
    >
      <p>
        The replicas are the brokers that may lead the partition; the first one is preferred. No data is moved, as the
        log is in Redis. Alive: {alive.join(', ')}.
      </p>
      <Field
        label="Replicas"
        value={text}
        onInput={setText}
        error={'error' in parsed ? parsed.error : undefined}
        isMono
        isFocused
      />
    </FormDialog>
  );
}
