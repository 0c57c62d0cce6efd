// The records of a topic: those that are there, those that are being appended, and one of them in full.
import type { Topic } from '@weirkeeper/client';
import { useCallback, useMemo, useRef, useState } from 'preact/hooks';
import { isReadOnly } from '../live/session.ts';
import { route, setQuery } from '../router.ts';
import { saveFile } from '../ui/clipboard.tsx';
import { bytes, count, counted, dateAndTime, duration, timeOfDay } from '../ui/format.ts';
import { useKeys } from '../ui/keys.ts';
import { Button, Empty, Panel, Problem } from '../ui/parts.tsx';
import { type Column, Table } from '../ui/table.tsx';
import { ProduceDialog } from './produce-dialog.tsx';
import { RecordDetail } from './record-detail.tsx';
import { csvOf, ndjsonOf } from './record-export.ts';
import { RecordFilters } from './record-filters.tsx';
import { missingIn, parseRecordQuery, recordQueryInput } from './record-query.ts';
import type { RecordRow } from './record-row.ts';
import { type FoundRecords, foundMax, useRecords } from './use-records.ts';
import { type Tail, tailLimits, useTail } from './use-tail.ts';

export function RecordsView({ topic }: { topic: Topic }) {
  const { name } = topic;
  const query = parseRecordQuery(route.value.query);
  const missing = missingIn(query);
  const found = useRecords(name, missing === undefined ? query : undefined);
  const [isAway, setAway] = useState(false);
  const frame = useRef<HTMLDivElement>(null);
  const isLive = query.start === 'latest';
  const [open, setOpen] = useState<RecordRow | undefined>(undefined);
  // Rows must not move away under what the user looks at.
  const isHeld = isAway || open !== undefined;
  const tail = useTail(name, query, { isOn: isLive, isHeld, onGap: found.reload });
  const [isProducing, setProducing] = useState(false);
  useKeys('Records', [
    { keys: 't', does: 'to the newest, with those that wait', run: () => showNew() },
    { keys: 'Escape', does: 'close the record', run: () => setOpen(undefined) },
    ...(isReadOnly ? [] : [{ keys: 'n', does: 'append a record', run: () => setProducing(true) }]),
  ]);
  const rows = useMemo(() => merged(tail.rows, found.rows), [tail.rows, found.rows]);
  const showNew = useCallback(() => {
    tail.show();
    frame.current?.querySelector('.table-frame')?.scrollTo({ top: 0 });
  }, [tail.show]);
  const produce = isReadOnly ? undefined : (
    <Button icon="plus" kind="primary" onClick={() => setProducing(true)}>
      Append a record
    </Button>
  );
  return (
    <>
      <RecordFilters
        query={query}
        partitions={topic.partitions.map(({ partition }) => partition)}
        onChange={(changes) => setQuery(recordQueryInput({ ...parseRecordQuery(route.peek().query), ...changes }))}
      />
      {missing !== undefined && <p class="hint">{missing}</p>}
      {[found.error, tail.error].map(
        (error, index) => error !== undefined && <Problem key={String(index)} error={error} onRetry={found.reload} />,
      )}
      <div class="records" data-open={open !== undefined}>
        <div
          class="records-list"
          ref={frame}
          onScrollCapture={(event) => {
            const { target } = event;
            if (target instanceof HTMLElement && target.matches('.table-frame')) setAway(target.scrollTop > 4);
          }}
        >
          <Panel
            isFlush
            actions={
              <>
                <Status found={found} tail={tail} isLive={isLive} shown={rows.length} />
                <span class="page-actions">
                  <ExportButtons name={name} rows={rows} />
                  {produce}
                </span>
              </>
            }
          >
            <div class="new-rows-place">
              {tail.waiting > 0 && (
                <button class="new-rows" type="button" onClick={showNew}>
                  {tail.waiting >= tailLimits.rowsMax ? `${count(tail.waiting)} or more` : count(tail.waiting)} new
                </button>
              )}
            </div>
            {rows.length === 0 && !found.isSearching && missing === undefined ? (
              <NoRecords topic={topic} isFiltered={query.key !== '' || query.contains !== ''} produce={produce} />
            ) : (
              <Table
                label={`Records of ${name}`}
                columns={columns}
                rows={rows}
                keyOf={({ place }) => place}
                onOpen={(row) => setOpen(row.place === open?.place ? undefined : row)}
                selected={open?.place}
              />
            )}
          </Panel>
        </div>
        {open && <RecordDetail row={open} onClose={() => setOpen(undefined)} />}
      </div>
      <More found={found} />
      {isProducing && <ProduceDialog topic={topic} onClose={() => setProducing(false)} />}
    </>
  );
}

/** The tail begins before what is there is read, so that nothing is missed: some records come twice. */
function merged(tail: readonly RecordRow[], found: readonly RecordRow[]): readonly RecordRow[] {
  if (tail.length === 0) return found;
  const known = new Set(tail.map(({ place }) => place));
  return [...tail, ...found.filter(({ place }) => !known.has(place))];
}

function Status({
  found,
  tail: { rates, behindMs, skip },
  isLive,
  shown,
}: {
  found: FoundRecords;
  tail: Tail;
  isLive: boolean;
  shown: number;
}) {
  if (found.isSearching) {
    const { looked } = found;
    const far = looked.records > 0 && `: looked at ${count(looked.records)} records, ${bytes(looked.bytes)}`;
    return (
      <span class="hint" role="status">
        Searching{far}…
      </span>
    );
  }
  const isSample = rates.seen > rates.shown;
  return (
    <span class="hint record-status">
      <span>{counted(shown, 'record')}</span>
      {isLive && rates.seen > 0 && (
        <span data-sampled={isSample}>
          {isSample
            ? `showing ${count(rates.shown)} of ${count(rates.seen)}/s, chosen at random`
            : `${count(rates.seen)}/s, all shown`}
        </span>
      )}
      {behindMs > 0 && (
        <>
          <span>the page is {duration(behindMs)} behind</span>
          <Button kind="quiet" onClick={skip}>
            Jump to the end
          </Button>
        </>
      )}
    </span>
  );
}

function ExportButtons({ name, rows }: { name: string; rows: readonly RecordRow[] }) {
  const records = () => rows.map(({ record }) => record);
  const label = `of the ${counted(rows.length, 'record')} shown`;
  return (
    <>
      <Button
        icon="download"
        isDisabled={rows.length === 0}
        title={`NDJSON ${label}`}
        onClick={() => saveFile(`${name}.ndjson`, 'application/x-ndjson', ndjsonOf(records()))}
      >
        NDJSON
      </Button>
      <Button
        icon="download"
        isDisabled={rows.length === 0}
        title={`CSV ${label}`}
        onClick={() => saveFile(`${name}.csv`, 'text/csv', csvOf(records()))}
      >
        CSV
      </Button>
    </>
  );
}

function NoRecords({
  topic: { name, partitions },
  isFiltered,
  produce,
}: {
  topic: Topic;
  isFiltered: boolean;
  produce: preact.ComponentChildren;
}) {
  const isEmpty = partitions.every(({ endOffset, logStartOffset }) => endOffset === logStartOffset);
  if (isFiltered && !isEmpty)
    return (
      <Empty icon="search" title="No record found">
        “Key is” wants the whole key. “Contains” looks into keys, values and headers, and minds capital letters.
      </Empty>
    );
  if (!isEmpty)
    return (
      <Empty icon="search" title="No record from there on">
        Choose an earlier time or offset, or “Oldest”.
      </Empty>
    );
  return (
    <Empty icon="topics" title="No records yet" action={produce}>
      They appear here when somebody appends them: with the button, or with <code>weir produce {name}</code>.
    </Empty>
  );
}

function More({ found: { next, more, isSearching, rows, looked } }: { found: FoundRecords }) {
  if (rows.length >= foundMax) return <p class="hint">These are {count(foundMax)}: narrow the search to see others.</p>;
  if (next === undefined) return null;
  return (
    <div class="toolbar">
      <Button onClick={more} isDisabled={isSearching}>
        {rows.length === 0 ? 'Search on' : 'Load more'}
      </Button>
      <span class="hint">
        Looked at {count(looked.records)} records, {bytes(looked.bytes)} so far.
      </span>
    </div>
  );
}

const columns: readonly Column<RecordRow>[] = [
  {
    id: 'time',
    head: 'Time',
    width: '84px',
    cell: ({ record: { timestamp } }) => <span title={dateAndTime(timestamp)}>{timeOfDay(timestamp)}</span>,
  },
  {
    id: 'partition',
    head: 'Part.',
    width: '52px',
    isNumber: true,
    isMinor: true,
    cell: ({ record }) => record.partition,
  },
  { id: 'offset', head: 'Offset', width: '88px', isNumber: true, cell: ({ record }) => count(record.offset) },
  {
    id: 'key',
    head: 'Key',
    width: '18%',
    isMinor: true,
    cell: ({ key }) => <span class="mono">{key}</span>,
  },
  {
    id: 'value',
    head: 'Value',
    cell: ({ value, isTombstone }) =>
      isTombstone ? <span class="hint">tombstone</span> : <span class="mono">{value}</span>,
  },
  { id: 'size', head: 'Size', width: '80px', isNumber: true, isMinor: true, cell: ({ size }) => bytes(size) },
];
