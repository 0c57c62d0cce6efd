// What can be done with a group: another place to go on reading, seen before it is set; and its end.
import type { Group, OffsetsReset } from '@weirkeeper/client';
import { useState } from 'preact/hooks';
import { api } from '../live/session.ts';
import { localTimeOf, timeOfLocal } from '../records/record-query.ts';
import { Confirm, Dialog, FormDialog } from '../ui/dialog.tsx';
import { Field, Select } from '../ui/form.tsx';
import { count, counted } from '../ui/format.ts';
import { Button } from '../ui/parts.tsx';
import { type Column, Table } from '../ui/table.tsx';
import { tell } from '../ui/toasts.tsx';

type Target = 'earliest' | 'latest' | 'time' | 'offset' | 'shift';
type ResetTo = Parameters<ReturnType<typeof api>['admin']['groups']['reset']>[1]['to'];
type Moved = OffsetsReset['offsets'][number];

const all = '';

export function ResetOffsets({ group, onClose, onDone }: { group: Group; onClose: () => void; onDone: () => void }) {
  const { groupId, members, partitions } = group;
  const [target, setTarget] = useState<Target>('earliest');
  const [text, setText] = useState('');
  const [topic, setTopic] = useState(all);
  const [preview, setPreview] = useState<readonly Moved[] | undefined>(undefined);
  const topics = [...new Set(partitions.map(({ topic: of }) => of))];
  const to = targetOf(target, text);
  const reset = (dryRun: boolean) => {
    if (to === undefined) throw new Error('Say where the group shall go on.');
    const ofTopics = topic === all ? {} : { topics: [topic] };
    return api().admin.groups.reset(groupId, { to, dryRun, ...ofTopics });
  };
  if (members.length > 0)
    return (
      <Dialog title="Reset offsets" onClose={onClose}>
        <p>
          The group has {counted(members.length, 'member')}. They would go on where they are: stop them first, or wait
          until their sessions have ended.
        </p>
        <div class="dialog-foot">
          <Button kind="primary" onClick={onClose}>
            I see
          </Button>
        </div>
      </Dialog>
    );
  if (preview)
    return (
      <FormDialog
        title={`Move ${groupId} to these offsets?`}
        submit={`Reset ${counted(preview.length, 'partition')}`}
        isDangerous
        isReady={preview.length > 0}
        isWide
        onClose={onClose}
        onSubmit={async () => {
          const { offsets } = await reset(false);
          onClose();
          onDone();
          tell(`${counted(offsets.length, 'offset')} of ${groupId} reset`);
        }}
      >
        {preview.length === 0 ? (
          <p>Nothing would change: the group has committed no offset there. Choose a topic to set its offsets.</p>
        ) : (
          <Table
            label="Offsets before and after"
            columns={columns}
            rows={preview}
            keyOf={({ topic: of, partition }) => `${of} ${partition}`}
            height="40vh"
          />
        )}
        <div>
          <Button onClick={() => setPreview(undefined)}>Back</Button>
        </div>
      </FormDialog>
    );
  return (
    <FormDialog
      title="Reset offsets"
      submit="Show what would change"
      isReady={to !== undefined}
      onClose={onClose}
      onSubmit={async () => setPreview((await reset(true)).offsets)}
    >
      <p>The members that join next go on reading from there. Nothing is changed yet.</p>
      <Select
        label="Topic"
        value={topic}
        onChange={setTopic}
        options={[
          { value: all, text: 'All in which something is committed' },
          ...topics.map((of) => ({ value: of, text: of })),
        ]}
      />
      <Select<Target>
        label="Go on at"
        value={target}
        onChange={(next) => {
          setTarget(next);
          setText('');
        }}
        options={[
          { value: 'earliest', text: 'the oldest record' },
          { value: 'latest', text: 'the end: skip all' },
          { value: 'time', text: 'a time' },
          { value: 'offset', text: 'an offset' },
          { value: 'shift', text: 'some records further, or back' },
        ]}
      />
      {target === 'time' && (
        <div class="field">
          <label for="reset-time">Time</label>
          <input
            id="reset-time"
            class="input"
            type="datetime-local"
            step="1"
            value={localTimeOf(timeOfLocal(text))}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </div>
      )}
      {target === 'offset' && (
        <Field label="Offset" value={text} onInput={setText} hint="The same in each partition." isMono />
      )}
      {target === 'shift' && (
        <Field label="Records" value={text} onInput={setText} hint="-100 reads the last 100 again." isMono />
      )}
    </FormDialog>
  );
}

/** @returns undefined while something is missing */
function targetOf(target: Target, text: string): ResetTo | undefined {
  if (target === 'earliest' || target === 'latest') return target;
  if (target === 'time') {
    const timestamp = timeOfLocal(text);
    return timestamp === undefined ? undefined : { timestamp };
  }
  if (!/^-?\d{1,15}$/.test(text)) return undefined;
  if (target === 'shift') return { shiftBy: Number(text) };
  return text.startsWith('-') ? undefined : { offset: Number(text) };
}

const columns: readonly Column<Moved>[] = [
  { id: 'topic', head: 'Topic', cell: ({ topic }) => <span class="mono">{topic}</span> },
  { id: 'partition', head: 'Part.', width: '70px', isNumber: true, cell: ({ partition }) => partition },
  { id: 'previous', head: 'Committed', isNumber: true, cell: ({ previous }) => count(previous) },
  { id: 'offset', head: 'Then', isNumber: true, cell: ({ offset }) => <b>{count(offset)}</b> },
  {
    id: 'change',
    head: 'Change',
    isNumber: true,
    isMinor: true,
    cell: ({ offset, previous }) => {
      const change = offset - (previous ?? 0);
      return change === 0 ? 'none' : change > 0 ? `${count(change)} skipped` : `${count(-change)} again`;
    },
  },
];

export function DeleteGroup({
  group,
  onClose,
  onDeleted,
}: {
  group: Group;
  onClose: () => void;
  onDeleted: () => void;
}) {
  const { groupId, members, partitions } = group;
  const committed = partitions.filter(({ committed: offset }) => offset !== null).length;
  return (
    <Confirm
      title={`Delete ${groupId}?`}
      submit="Delete the group"
      word={groupId}
      onClose={onClose}
      onConfirm={async () => {
        await api().admin.groups.delete(groupId);
        tell(`Group ${groupId} is deleted`);
        onDeleted();
      }}
    >
      <p>
        The group forgets the offsets of {counted(committed, 'partition')}. Members that join afterwards begin where
        their reset policy says.
      </p>
      {members.length > 0 && (
        <p>
          <b>It has {counted(members.length, 'member')}</b>, and the server refuses to delete a group with members: stop
          them first.
        </p>
      )}
    </Confirm>
  );
}
