// One record with all that it has.
import { useMemo } from 'preact/hooks';
import { CopyButton } from '../ui/clipboard.tsx';
import { BytesView } from '../ui/data-view.tsx';
import { bytes, count, dateAndTime } from '../ui/format.ts';
import { IconButton } from '../ui/parts.tsx';
import type { RecordRow } from './record-row.ts';
import { headersOf, keyPart, type PlacedRecord, type RecordPart, valuePart } from './record-view.ts';

export function RecordDetail({ row: { record, size }, onClose }: { row: RecordRow; onClose: () => void }) {
  const { partition, offset, timestamp } = record;
  const [key, value, headers] = useMemo(() => [keyPart(record), valuePart(record), headersOf(record)], [record]);
  return (
    <section class="panel record-detail" aria-label={`Record ${offset} of partition ${partition}`}>
      <div class="panel-head">
        <h2>
          Offset {count(offset)} <span class="hint">partition {partition}</span>
        </h2>
        <div class="page-actions">
          <CopyButton text={value.text} what="The value" label="Copy value" />
          <CopyButton text={curlOf(record)} what="The command" label="Copy as curl" />
          <IconButton icon="close" label="Close the record" onClick={onClose} />
        </div>
      </div>
      <div class="panel-body record-parts">
        <dl class="facts">
          <dt>Time</dt>
          <dd>
            <time dateTime={new Date(timestamp).toISOString()}>{dateAndTime(timestamp)}</time>
            <span class="hint"> {timestamp}</span>
          </dd>
          <dt>Size</dt>
          <dd>{bytes(size)}</dd>
          <dt>Key</dt>
          <dd>{key.kind === 'none' ? <span class="hint">none</span> : <Text part={key} />}</dd>
        </dl>
        {headers.length > 0 && (
          <div>
            <h3>Headers</h3>
            <dl class="facts record-headers">
              {headers.map(({ name, text, isBytes }, index) => (
                <div class="key-line" key={`${index} ${name}`}>
                  <dt class="mono">{name}</dt>
                  <dd class="mono">
                    {text ?? <span class="hint">null</span>} {isBytes && <span class="hint">base64</span>}
                  </dd>
                </div>
              ))}
            </dl>
          </div>
        )}
        <div>
          <h3>Value</h3>
          {value.kind === 'none' ? (
            <p class="hint">
              There is none: the record is a tombstone, which deletes its key when the topic is compacted.
            </p>
          ) : (
            <BytesView data={value.bytes} label="the value" />
          )}
        </div>
      </div>
    </section>
  );
}

function Text({ part }: { part: RecordPart }) {
  if (part.kind === 'bytes') return <BytesView data={part.bytes} label="the key" />;
  return <span class="mono">{part.text}</span>;
}

function curlOf({ partition, offset }: PlacedRecord): string {
  const topic = location.hash.replace(/^#\/topics\//, '').replace(/[?/].*$/, '');
  const url = new URL(`../v1/topics/${topic}/partitions/${partition}/records`, location.href);
  return `curl '${url.origin}${url.pathname}?offset=${offset}&maxRecords=1'`;
}
