// Dialogs that save a subtree as a file, and read one back.
import type { ImportOptions } from '@weirkeeper/client';
import { useState } from 'preact/hooks';
import { useResource } from '../live/resource.ts';
import { api } from '../live/session.ts';
import { saveFile } from '../ui/clipboard.tsx';
import { FormDialog } from '../ui/dialog.tsx';
import { Field, Select } from '../ui/form.tsx';
import { count, counted } from '../ui/format.ts';
import { Problem } from '../ui/parts.tsx';
import { tell } from '../ui/toasts.tsx';
import { nameOf } from './tree-model.ts';

/** All lines are in the memory of the page until they are saved. */
const exportCharsMax = 256 * 1024 * 1024;
const shownEvery = 500;

export function ExportDialog({ path, onClose }: { path: string; onClose: () => void }) {
  const [done, setDone] = useState(0);
  const save = async () => {
    const lines: string[] = [];
    let length = 0;
    const nodes = api().tree.export(path);
    let next = await nodes.next();
    for (; !next.done; next = await nodes.next()) {
      const line = `${JSON.stringify(next.value)}\n`;
      lines.push(line);
      length += line.length;
      if (length > exportCharsMax) {
        await nodes.return({} as never);
        throw new Error(`${path} is too large for a page. On a terminal: weir node export ${path} > nodes.ndjson`);
      }
      if (lines.length % shownEvery === 0) setDone(lines.length);
    }
    const { ephemerals, unreadable } = next.value;
    lines.push(`${JSON.stringify(next.value)}\n`);
    saveFile(`${path === '/' ? 'tree' : nameOf(path)}.ndjson`, 'application/x-ndjson', lines.join(''));
    onClose();
    const left = [
      ...(ephemerals > 0 ? [`${counted(ephemerals, 'ephemeral node')} left out`] : []),
      ...(unreadable > 0 ? [`${counted(unreadable, 'subtree')} that you may not read`] : []),
    ];
    tell(`${path} is exported`, [counted(lines.length - 1, 'node'), ...left].join(', '));
  };
  return (
    <FormDialog title={`Export ${path}`} submit="Export" onSubmit={save} onClose={onClose}>
      <p>
        Saves the node and everything below it as NDJSON, one node a line. Ephemeral nodes are left out, as they belong
        to a session, and nodes of the service, as only it writes them.
      </p>
      {done > 0 && <p role="status">{counted(done, 'node')} read</p>}
    </FormDialog>
  );
}

type OnConflict = NonNullable<ImportOptions['onConflict']>;

export function ImportDialog({ path, onClose }: { path: string; onClose: () => void }) {
  const [file, setFile] = useState<{ name: string; text: string } | undefined>(undefined);
  const [place, setPlace] = useState('');
  const [onConflict, setOnConflict] = useState<OnConflict>('fail');
  const options = { onConflict, ...(place !== '' && { path: place }) };
  // What it would do, before it is done.
  const plan = useResource(`import ${file?.name} ${place} ${onConflict}`, async (signal) =>
    file ? api().tree.import(file.text, { ...options, dryRun: true, signal }) : undefined,
  );
  const write = async () => {
    const { created, overwritten, skipped } = await api().tree.import(file?.text ?? '', options);
    onClose();
    tell(
      'The import is done',
      `${count(created)} created, ${count(overwritten)} overwritten, ${count(skipped)} skipped`,
    );
  };
  return (
    <FormDialog
      title="Import nodes"
      submit="Import"
      onSubmit={write}
      onClose={onClose}
      isReady={plan.data !== undefined && plan.error === undefined}
    >
      <label class="field">
        <span>File of an export (NDJSON)</span>
        <input
          type="file"
          accept=".ndjson,.jsonl,.json"
          onChange={(event) => {
            const chosen = event.currentTarget.files?.[0];
            void chosen?.text().then((text) => setFile({ name: `${chosen.name} ${chosen.lastModified}`, text }));
          }}
        />
      </label>
      <Field
        label="Import to"
        value={place}
        onInput={setPlace}
        placeholder={path === '/' ? '/restored' : `${path}/restored`}
        hint="Takes the place of the path of the first node. Empty: each node goes to the path in its line."
        isMono
      />
      <Select<OnConflict>
        label="A node that exists with other content"
        value={onConflict}
        onChange={setOnConflict}
        options={[
          { value: 'fail', text: 'ends the import' },
          { value: 'skip', text: 'stays as it is' },
          { value: 'overwrite', text: 'is overwritten' },
        ]}
      />
      {file && plan.error !== undefined && <Problem error={plan.error} />}
      {plan.data && (
        <p class="hint" role="status">
          {counted(plan.data.lines, 'node')} in the file: {count(plan.data.created)} would be created,{' '}
          {count(plan.data.overwritten)} overwritten, {count(plan.data.skipped)} skipped, {count(plan.data.same)} are
          the same.
          {!plan.data.complete && ' Its last line is missing, so it may have been cut short.'}
        </p>
      )}
    </FormDialog>
  );
}
