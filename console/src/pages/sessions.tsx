// The sessions: who they are, how long they live on, and how many nodes live with them.
import type { Sessions } from '@weirkeeper/client';
import '../styles/log.css';
import { useState } from 'preact/hooks';
import { useResource } from '../live/resource.ts';
import { api, isReadOnly } from '../live/session.ts';
import { go, linkTo, route, setQuery } from '../router.ts';
import { SessionNodes } from '../sessions/session-nodes.tsx';
import { Confirm } from '../ui/dialog.tsx';
import { Field } from '../ui/form.tsx';
import { count, counted, duration } from '../ui/format.ts';
import { Ago, Bar, Button, Empty, PageHead, Panel, Problem } from '../ui/parts.tsx';
import { type Column, Table } from '../ui/table.tsx';
import { tell } from '../ui/toasts.tsx';

type Session = Sessions['sessions'][number];

const pageSize = 1000;
/** Sessions change with each renewal, so the list is read again. */
const everyMs = 2000;

export default function SessionsPage() {
  const find = route.value.query.get('find') ?? '';
  const [open] = route.value.parts;
  const [pages, setPages] = useState(1);
  const [ending, setEnding] = useState<Session | undefined>(undefined);
  const { data, error, reload } = useResource(`sessions ${pages}`, (signal) => readSessions(pages, signal), {
    everyMs,
  });
  const words = find.toLowerCase();
  const shown = (data?.sessions ?? []).filter(({ id, label = '', identity = '' }) =>
    `${id} ${label} ${identity}`.toLowerCase().includes(words),
  );
  return (
    <>
      <PageHead title="Sessions">
        A session lives as long as its program renews it in time. When it ends, its ephemeral nodes are deleted. Open
        one to see them.
      </PageHead>
      <div class="toolbar">
        <Field
          label="Find"
          type="search"
          placeholder="id, label or identity"
          value={find}
          onInput={(text) => setQuery({ find: text })}
        />
        <span class="hint" role="status">
          {data && counted(shown.length, 'session')}
          {data?.hasMore && ' of more'}
        </span>
      </div>
      {error !== undefined && <Problem error={error} onRetry={reload} />}
      <Panel isFlush>
        {shown.length > 0 ? (
          <Table
            label="Sessions"
            columns={columnsOf(setEnding)}
            rows={shown}
            keyOf={({ id }) => id}
            onOpen={({ id }) => go(linkTo('sessions', id === open ? [] : [id], { find }))}
            selected={open}
            height={open === undefined ? 'calc(100dvh - 290px)' : '46vh'}
            {...(data?.hasMore && find === '' && { onEnd: () => setPages(pages + 1) })}
          />
        ) : (
          data && (
            <Empty icon="sessions" title={find === '' ? 'No sessions' : `No session matches ${find}`}>
              A program opens one with <code>weir session keep -- CMD</code>, or <code>await weir.session()</code>.
            </Empty>
          )
        )}
      </Panel>
      {open !== undefined && open !== '' && (
        <SessionNodes key={open} id={open} onClose={() => go(linkTo('sessions', [], { find }))} />
      )}
      {ending && (
        <Confirm
          title="End a session"
          submit="End the session"
          word={ending.id}
          onClose={() => setEnding(undefined)}
          onConfirm={async () => {
            await api().request({ method: 'DELETE', path: `/v1/sessions/${ending.id}?force=true` });
            setEnding(undefined);
            tell('The session has ended', `${counted(ending.ephemerals, 'ephemeral node')} deleted`);
            reload();
          }}
        >
          <p>
            Its program {ending.label !== undefined && <b>{ending.label}</b>} loses the session at once, and with it{' '}
            <b>{counted(ending.ephemerals, 'ephemeral node')}</b>: locks, elections and memberships pass to others.
          </p>
        </Confirm>
      )}
    </>
  );
}

function IdCell({ id }: { id: string }) {
  return (
    <a class="mono" href={linkTo('sessions', [id])} tabIndex={-1}>
      {id}
    </a>
  );
}

function columnsOf(onEnd: (session: Session) => void): Column<Session>[] {
  return [
    { id: 'id', head: 'Id', width: '140px', cell: ({ id }) => <IdCell id={id} />, sortBy: ({ id }) => id },
    {
      id: 'label',
      head: 'Label',
      isMinor: true,
      cell: ({ label, identity }) => (
        <>
          {label ?? <span class="hint">none</span>}
          {identity !== undefined && <span class="hint"> of {identity}</span>}
        </>
      ),
      sortBy: ({ label = '' }) => label,
    },
    {
      id: 'life',
      head: 'Lives on for',
      cell: ({ expiresAt, ttlMs }) => {
        const left = Math.min(ttlMs, Math.max(0, expiresAt - Date.now()));
        const share = left / ttlMs;
        return (
          <span class="life">
            <Bar share={share} label="Time to live that is left" kind={share < 0.2 ? 'warn' : 'accent'} />
            <span class="hint">
              {duration(left)} of {duration(ttlMs)}
            </span>
          </span>
        );
      },
      sortBy: ({ expiresAt }) => expiresAt,
    },
    {
      id: 'ephemerals',
      head: 'Ephemerals',
      width: '110px',
      isNumber: true,
      isMinor: true,
      cell: ({ ephemerals }) => count(ephemerals),
      sortBy: ({ ephemerals }) => ephemerals,
    },
    {
      id: 'created',
      head: 'Created',
      width: '120px',
      isMinor: true,
      cell: ({ createdAt }) => <Ago at={createdAt} />,
      sortBy: ({ createdAt }) => createdAt,
    },
    ...(isReadOnly
      ? []
      : [
          {
            id: 'end',
            head: 'Action',
            width: '66px',
            cell: (session: Session) => (
              <Button kind="quiet" onClick={() => onEnd(session)} title={`End session ${session.id}`}>
                End
              </Button>
            ),
          },
        ]),
  ];
}

async function readSessions(pages: number, signal: AbortSignal): Promise<{ sessions: Session[]; hasMore: boolean }> {
  const sessions: Session[] = [];
  let after: string | undefined;
  for (let page = 0; page < pages; page += 1) {
    const query = new URLSearchParams({ limit: String(pageSize), ...(after !== undefined && { after }) });
    const found = await api().request<Sessions>({ path: `/v1/sessions?${query}`, signal });
    sessions.push(...found.sessions);
    after = found.next;
    if (after === undefined) break;
  }
  return { sessions, hasMore: after !== undefined };
}
