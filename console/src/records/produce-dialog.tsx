// The form that appends a record.
import { isWeirError, type Topic } from '@weirkeeper/client';
import { useState } from 'preact/hooks';
import { api } from '../live/session.ts';
import { FormDialog } from '../ui/dialog.tsx';
import { Check, Field, Select } from '../ui/form.tsx';
import { count } from '../ui/format.ts';
import { tell } from '../ui/toasts.tsx';

type Form = 'json' | 'text' | 'tombstone';

interface Produced {
  results: { partition: number; baseOffset?: number }[];
}

const byKey = 'key';
const headerLine = /^([^:]+):\s?(.*)$/;

export function ProduceDialog({ topic, onClose }: { topic: Topic; onClose: () => void }) {
  const { name, partitions } = topic;
  const [form, setForm] = useState<Form>('json');
  const [key, setKey] = useState('');
  const [value, setValue] = useState('{\n  "hello": "world"\n}');
  const [headers, setHeaders] = useState('');
  const [partition, setPartition] = useState(byKey);
  const [staysOpen, setStaysOpen] = useState(false);
  const json = form === 'json' ? parseJson(value) : undefined;
  const lines = headers.split('\n').filter((line) => line.trim() !== '');
  const wrongLine = lines.find((line) => !headerLine.test(line));
  const submit = async () => {
    const record = {
      ...(key !== '' && { key }),
      ...(form === 'json' && { value: json?.value }),
      ...(form === 'text' && { value }),
      ...(partition !== byKey && { partition: Number(partition) }),
      ...(lines.length > 0 && {
        headers: lines.map((line) => {
          const [, header = '', text = ''] = headerLine.exec(line) ?? [];
          return [header.trim(), text];
        }),
      }),
    };
    const { results } = await api().request<Produced>({
      method: 'POST',
      path: `/v1/topics/${encodeURIComponent(name)}/records`,
      body: { records: [record] },
    });
    const [at] = results;
    tell('The record is appended', at && `Partition ${at.partition}, offset ${count(at.baseOffset)}`);
    if (!staysOpen) onClose();
  };
  return (
    <FormDialog
      title={`Append a record to ${name}`}
      submit="Append"
      onSubmit={submit}
      onClose={onClose}
      isReady={json?.error === undefined && wrongLine === undefined && (form !== 'tombstone' || key !== '')}
      isWide
    >
      <div class="form-columns">
        <Field
          label="Key"
          value={key}
          onInput={setKey}
          isMono
          hint="Records with the same key go to the same partition."
          error={form === 'tombstone' && key === '' ? 'A tombstone deletes a key: enter it.' : undefined}
        />
        <Select
          label="Partition"
          value={partition}
          onChange={setPartition}
          options={[
            { value: byKey, text: 'by the key, or any' },
            ...partitions.map(({ partition: number }) => ({ value: String(number), text: String(number) })),
          ]}
        />
        <Select<Form>
          label="The value is"
          value={form}
          onChange={setForm}
          options={[
            { value: 'json', text: 'JSON' },
            { value: 'text', text: 'Text' },
            { value: 'tombstone', text: 'nothing (a tombstone)' },
          ]}
        />
      </div>
      {form !== 'tombstone' && (
        <Field label="Value" value={value} onInput={setValue} rows={8} isMono isFocused error={json?.error} />
      )}
      <Field
        label="Headers"
        value={headers}
        onInput={setHeaders}
        rows={2}
        isMono
        placeholder="trace: 4bf92f35"
        hint="One on each line: a name, a colon, and a value."
        error={wrongLine === undefined ? undefined : `“${wrongLine}” has no colon behind the name.`}
      />
      <Check label="Leave this open, to append more" isChecked={staysOpen} onChange={setStaysOpen} />
    </FormDialog>
  );
}

function parseJson(text: string): { value?: unknown; error?: string } {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    const reason = error instanceof Error && !isWeirError(error) ? error.message : String(error);
    return { error: `This is no JSON: ${reason}. For a plain text, choose Text.` };
  }
}
