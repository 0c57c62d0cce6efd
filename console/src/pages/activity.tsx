// What happens on the tree: each change, the newest first, live.
import type { EventHistory, WatchTransaction } from '@weirkeeper/client';
import { useEffect, useRef, useState } from 'preact/hooks';
import { api } from '../live/session.ts';
import { useWatch } from '../live/watch.ts';
import { linkToNode, route, setQuery } from '../router.ts';
import { Field } from '../ui/form.tsx';
import { count, counted, nothing, timeOfDay } from '../ui/format.ts';
import { Badge, Button, Choice, Empty, IconButton, PageHead, Panel, Problem } from '../ui/parts.tsx';
import { type Column, Table } from '../ui/table.tsx';

type EventKind = 'created' | 'changed' | 'deleted';

interface Change {
  key: string;
  zxid: number;
  kind: EventKind;
  path: string;
  /** ms since the epoch; a deletion of the past does not say when. */
  at: number | undefined;
  bytes: number | undefined;
  isNew: boolean;
}

/** Changes that are kept in the page; older ones are read again when one gets there. */
const changesMax = 5000;
const pageSize = 200;
/** Changes come in groups: drawn together. */
const flushMs = 120;

export default function Activity() {
  const { query } = route.value;
  const [path, kind] = [query.get('path') ?? '', (query.get('kind') ?? 'all') as EventKind | 'all'];
  const { changes, error, dropped, hasMore, loadOlder, reload } = useChanges(path);
  const [pinned, setPinned] = useState<readonly Change[]>([]);
  const shown = kind === 'all' ? changes : changes.filter((change) => change.kind === kind);
  const togglePin = (change: Change) =>
    setPinned((old) =>
      old.some(({ key }) => key === change.key) ? old.filter(({ key }) => key !== change.key) : [...old, change],
    );
  const columns = columnsOf(new Set(pinned.map(({ key }) => key)), togglePin);
  return (
    <>
      <PageHead title="Activity">Every change of the tree, the newest first. Open one to see its node.</PageHead>
      <div class="toolbar">
        <PathFilter path={path} />
        <Choice<EventKind | 'all'>
          label="Kinds of changes"
          value={kind}
          onChange={(next) => setQuery({ kind: next === 'all' ? undefined : next })}
          options={[
            { value: 'all', text: 'All' },
            { value: 'created', text: 'Created' },
            { value: 'changed', text: 'Changed' },
            { value: 'deleted', text: 'Deleted' },
          ]}
        />
        <span class="hint" role="status">
          {counted(shown.length, 'change')}
          {dropped > 0 && `, ${count(dropped)} older ones are not kept here`}
        </span>
      </div>
      {error !== undefined && <Problem error={error} onRetry={reload} />}
      {pinned.length > 0 && (
        <Panel title="Pinned" isFlush actions={<Button onClick={() => setPinned([])}>Unpin all</Button>}>
          <Table label="Pinned changes" columns={columns} rows={pinned} keyOf={({ key }) => key} height="200px" />
        </Panel>
      )}
      <Panel isFlush>
        {shown.length > 0 ? (
          <Table
            label="Changes"
            columns={columns}
            rows={shown}
            keyOf={({ key }) => key}
            flashOf={({ isNew, kind: of }) => (isNew ? flashes[of] : undefined)}
            onOpen={(change) => {
              location.hash = linkToNode(change.path);
            }}
            {...(hasMore && { onEnd: loadOlder })}
            height="calc(100dvh - 260px)"
          />
        ) : (
          error === undefined && (
            <Empty icon="activity" title="Nothing has happened here yet">
              Changes appear as they are made. Try <code>weir node set /hello world</code>, or create a node in the
              tree.
            </Empty>
          )
        )}
      </Panel>
    </>
  );
}

const flashes = { created: 'new', changed: 'changed', deleted: 'gone' } as const;
const kinds = { created: 'good', changed: 'accent', deleted: 'bad' } as const;

function columnsOf(pinned: ReadonlySet<string>, onPin: (change: Change) => void): Column<Change>[] {
  return [
    { id: 'kind', head: 'Change', width: '100px', cell: ({ kind }) => <Badge kind={kinds[kind]}>{kind}</Badge> },
    {
      id: 'path',
      head: 'Node',
      cell: ({ path }) => (
        <a class="mono" href={linkToNode(path)}>
          {path}
        </a>
      ),
    },
    { id: 'bytes', head: 'Bytes', width: '90px', isNumber: true, isMinor: true, cell: ({ bytes }) => count(bytes) },
    { id: 'zxid', head: 'Transaction', width: '130px', isNumber: true, isMinor: true, cell: ({ zxid }) => count(zxid) },
    {
      id: 'time',
      head: 'Time',
      width: '96px',
      isNumber: true,
      cell: ({ at }) => (at === undefined ? nothing : timeOfDay(at)),
    },
    {
      id: 'pin',
      head: 'Pin',
      width: '58px',
      isMinor: true,
      cell: (change) => (
        <IconButton
          icon="pin"
          label={`Pin ${change.kind} ${change.path}`}
          isPressed={pinned.has(change.key)}
          onClick={() => onPin(change)}
        />
      ),
    },
  ];
}

function PathFilter({ path }: { path: string }) {
  const [text, setText] = useState(path);
  useEffect(() => {
    // Not at every key: each change reads the history anew.
    const timer = setTimeout(() => setQuery({ path: text === '/' ? '' : text }), 250);
    return () => clearTimeout(timer);
  }, [text]);
  return <Field label="At or below" type="search" placeholder="/" value={text} onInput={setText} isMono />;
}

/** The changes at or below a path: the history, and then what happens. */
function useChanges(path: string) {
  const [changes, setChanges] = useState<readonly Change[]>([]);
  const [error, setError] = useState<unknown>(undefined);
  const [dropped, setDropped] = useState(0);
  const [next, setNext] = useState<number | undefined>(undefined);
  const isLoading = useRef(false);
  const arrived = useRef<Change[]>([]);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const place = /^\/./.test(path) ? path.replace(/\/$/, '') : '/';

  const read = async (before: number | undefined) => {
    isLoading.current = true;
    try {
      const query = new URLSearchParams({
        limit: String(pageSize),
        ...(place !== '/' && { path: place }),
        ...(before !== undefined && { before: String(before) }),
      });
      const page = await api().request<EventHistory>({ path: `/v1/events?${query}` });
      const older = page.transactions.flatMap((transaction) => changesOf(transaction, false));
      setError(undefined);
      setChanges((known) =>
        unique(before === undefined ? [...arrived.current.splice(0), ...older] : [...known, ...older]),
      );
      setNext(page.next);
    } catch (failure) {
      setError(failure);
    } finally {
      isLoading.current = false;
    }
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  useWatch(place, 'recursive', {
    resync: () => {
      setDropped(0);
      void read(undefined);
    },
    transaction: (transaction) => {
      arrived.current.unshift(...changesOf(transaction, true));
      // What nobody could read anyway is not kept.
      arrived.current.length = Math.min(arrived.current.length, changesMax);
      timer.current ??= setTimeout(() => {
        timer.current = undefined;
        const added = arrived.current.splice(0);
        setChanges((known) => {
          const all = unique([
            ...added,
            ...known.map((change) => (change.isNew ? { ...change, isNew: false } : change)),
          ]);
          if (all.length <= changesMax) return all;
          setDropped((old) => old + all.length - changesMax);
          setNext(undefined);
          return all.slice(0, changesMax);
        });
      }, flushMs);
    },
    failed: setError,
  });
  const loadOlder = () => {
    if (next !== undefined && !isLoading.current && changes.length < changesMax) void read(next);
  };
  return { changes, error, dropped, hasMore: next !== undefined, loadOlder, reload: () => void read(undefined) };
}

function changesOf({ zxid, events }: Pick<WatchTransaction, 'zxid' | 'events'>, isNew: boolean): Change[] {
  return events.flatMap(({ type, path, stat }) => {
    if (type === 'children') return [];
    const at = type === 'created' ? stat?.ctime : type === 'changed' ? stat?.mtime : isNew ? Date.now() : undefined;
    return [{ key: `${zxid} ${type} ${path}`, zxid, kind: type, path, at, bytes: stat?.dataLength, isNew }];
  });
}

/** The history and the watch may both tell of a change. */
function unique(changes: readonly Change[]): Change[] {
  return [...new Map(changes.map((change) => [change.key, change])).values()];
}
