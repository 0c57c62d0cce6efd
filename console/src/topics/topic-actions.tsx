// What can be done with a topic that is more than a setting: more partitions, fewer records, none of it.
import type { Topic } from '@weirkeeper/client';
import { useState } from 'preact/hooks';
import { api } from '../live/session.ts';
import { Confirm, FormDialog } from '../ui/dialog.tsx';
import { Field, Select } from '../ui/form.tsx';
import { count, counted } from '../ui/format.ts';
import { tell } from '../ui/toasts.tsx';

interface ActionProps {
  topic: Topic;
  onClose: () => void;
}

export function AddPartitions({ topic: { name, partitions }, onClose }: ActionProps) {
  const now = partitions.length;
  const [text, setText] = useState(String(now + 1));
  const wanted = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  const isMore = wanted > now;
  const submit = async () => {
    await api().admin.topics.alter(name, { partitions: wanted });
    onClose();
    tell(`${name} has ${counted(wanted, 'partition')}`);
  };
  return (
    <FormDialog title="Add partitions" submit="Add" onSubmit={submit} onClose={onClose} isReady={isMore}>
      <p>
        The topic has {counted(now, 'partition')}. Keys go to other partitions afterwards: records of a key that were
        appended before stay where they are. Partitions cannot be taken away again.
      </p>
      <Field
        label="Partitions"
        type="number"
        value={text}
        onInput={setText}
        error={isMore ? undefined : `Enter more than ${now}.`}
        isFocused
      />
    </FormDialog>
  );
}

const all = 'all';

export function Truncate({ topic: { name, partitions }, onClose }: ActionProps) {
  const [which, setWhich] = useState(all);
  const [before, setBefore] = useState('');
  const chosen = which === all ? partitions : partitions.filter(({ partition }) => String(partition) === which);
  const isNumber = /^\d{1,15}$/.test(before);
  const isWrong = before !== '' && !isNumber;
  // A partition may end before the offset, or begin behind it.
  const cuts = chosen.map(({ partition, logStartOffset, endOffset }) => {
    const end = endOffset ?? 0;
    const at = isNumber ? Math.min(Number(before), end) : end;
    return { partition, at, lost: Math.max(0, at - (logStartOffset ?? 0)) };
  });
  const lost = cuts.reduce((sum, cut) => sum + cut.lost, 0);
  const submit = async () => {
    for (const { partition, at } of cuts.filter((cut) => cut.lost > 0))
      await api().admin.partitions.deleteRecords({ topic: name, partition }, isNumber ? at : 'latest');
    onClose();
    tell(`${counted(lost, 'record')} deleted`, `Topic ${name}`);
  };
  return (
    <FormDialog
      title="Truncate"
      submit={`Delete ${counted(lost, 'record')}`}
      onSubmit={submit}
      onClose={onClose}
      isReady={!isWrong && lost > 0}
      isDangerous
    >
      <p>Deletes the oldest records. Offsets stay as they are, and groups go on with the first record that is left.</p>
      <Select
        label="Partition"
        value={which}
        onChange={setWhich}
        options={[
          { value: all, text: `All ${count(partitions.length)}` },
          ...partitions.map(({ partition, endOffset }) => ({
            value: String(partition),
            text: `${partition}, up to offset ${count(endOffset)}`,
          })),
        ]}
      />
      <Field
        label="Delete records before offset"
        value={before}
        onInput={setBefore}
        placeholder="the end: all records"
        error={isWrong ? 'Enter a whole number, or nothing for the end.' : undefined}
        isMono
      />
    </FormDialog>
  );
}

export function DeleteTopic({ topic, onClose, onDeleted }: ActionProps & { onDeleted: () => void }) {
  const { name, partitions } = topic;
  const records = partitions.reduce(
    (sum, { logStartOffset, endOffset }) => sum + (endOffset ?? 0) - (logStartOffset ?? 0),
    0,
  );
  const confirm = async () => {
    await api().admin.topics.delete(name);
    tell(`Topic ${name} is deleted`);
    onDeleted();
  };
  return (
    <Confirm title={`Delete ${name}?`} submit="Delete the topic" word={name} onConfirm={confirm} onClose={onClose}>
      <p>
        {counted(partitions.length, 'partition')} with {counted(records, 'record')} will be gone, and what groups have
        committed for them. This cannot be undone.
      </p>
    </Confirm>
  );
}
