// Which records are shown: from where on, in which partition, and which of them.
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useState } from 'preact/hooks';
import { Choice } from '../ui/parts.tsx';
import { localTimeOf, type RecordQuery, timeOfLocal } from './record-query.ts';

const starts = [
  { value: 'latest', text: 'Newest' },
  { value: 'earliest', text: 'Oldest' },
  { value: 'time', text: 'From a time' },
  { value: 'offset', text: 'From an offset' },
] as const;

const debounceMs = 300;

export function RecordFilters({
  query,
  partitions,
  onChange,
  children,
}: {
  query: RecordQuery;
  partitions: readonly number[];
  onChange: (changes: Partial<RecordQuery>) => void;
  children?: ComponentChildren;
}) {
  const { start, at, offset, partition, key, contains } = query;
  return (
    <search class="toolbar record-filters">
      <Choice
        label="Which records come first"
        options={starts}
        value={start}
        onChange={(next) => onChange({ start: next, ...(next === 'offset' && { partition: partition ?? 0 }) })}
      />
      {start === 'time' && (
        <input
          class="input"
          type="datetime-local"
          step="1"
          aria-label="The time from which records are shown"
          value={localTimeOf(at)}
          onChange={(event) => onChange({ at: timeOfLocal(event.currentTarget.value) })}
        />
      )}
      {start === 'offset' && (
        <TextFilter
          label="The first offset"
          value={offset === undefined ? '' : String(offset)}
          onChange={(text) => onChange({ offset: /^\d{1,15}$/.test(text) ? Number(text) : undefined })}
        />
      )}
      <select
        class="input"
        aria-label="Partition"
        value={partition === undefined ? '' : String(partition)}
        onChange={(event) => {
          const { value } = event.currentTarget;
          onChange({ partition: value === '' ? undefined : Number(value) });
        }}
      >
        {start !== 'offset' && <option value="">All partitions</option>}
        {partitions.map((number) => (
          <option key={number} value={String(number)}>
            Partition {number}
          </option>
        ))}
      </select>
      <TextFilter label="Key is" value={key} onChange={(text) => onChange({ key: text })} />
      <TextFilter label="Contains" value={contains} onChange={(text) => onChange({ contains: text })} />
      {children}
    </search>
  );
}

/** A field that says what was typed once the user has paused, or pressed Enter. */
function TextFilter({ label, value, onChange }: { label: string; value: string; onChange: (text: string) => void }) {
  const id = useId();
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return undefined;
    const timer = setTimeout(() => onChange(text), debounceMs);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <span class="inline-field">
      <label for={id}>{label}</label>
      <input
        id={id}
        class="input mono"
        type="search"
        spellcheck={false}
        autocomplete="off"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') onChange(text);
        }}
      />
    </span>
  );
}
