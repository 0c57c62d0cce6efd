// What happened to one node, as far back as the server keeps it: what each change did, and a way back.
import type { EventHistory, TreeNode } from '@weirkeeper/client';
import { useState } from 'preact/hooks';
import { useResource } from '../live/resource.ts';
import { api, isReadOnly } from '../live/session.ts';
import { Confirm } from '../ui/dialog.tsx';
import { Diff, inLines } from '../ui/diff.tsx';
import { count } from '../ui/format.ts';
import { Ago, Badge, Button, Problem } from '../ui/parts.tsx';
import { tell } from '../ui/toasts.tsx';
import { toBytes } from './node-bytes.ts';

interface Change {
  zxid: number;
  type: 'created' | 'changed' | 'deleted';
  at: number | undefined;
  data: Uint8Array | undefined;
  contentType: string | undefined;
  isTruncated: boolean;
}

const pageSize = 100;
/** Pages that one look goes through: history of other nodes lies between. */
const pagesMax = 20;
const wantedMin = 10;

/** @param revision changes when the node does, so that the list is read again */
export function History({ path, node }: { path: string; node: TreeNode | undefined }) {
  const [chosen, setChosen] = useState<number | undefined>(undefined);
  const [isReverting, setReverting] = useState(false);
  const changes = useResource(`${path} ${node?.stat.mzxid ?? 'none'}`, (signal) => historyOf(path, signal));
  if (changes.error !== undefined) return <Problem error={changes.error} onRetry={changes.reload} />;
  if (!changes.data) return <p class="hint">Looking through the history…</p>;
  if (changes.data.length === 0)
    return (
      <p class="hint">
        The server keeps no change of this node: it was last set before what WEIR_EVENT_RETENTION keeps.
      </p>
    );
  const all = changes.data;
  const index = all.findIndex(({ zxid }) => zxid === chosen);
  const change = all[index];
  const before = all[index + 1];
  return (
    <div class="history">
      <ol class="history-list">
        {all.map(({ zxid, type, at, data }) => (
          <li key={zxid}>
            <button
              type="button"
              aria-pressed={zxid === chosen}
              onClick={() => setChosen(zxid === chosen ? undefined : zxid)}
            >
              <Badge kind={type === 'created' ? 'good' : type === 'deleted' ? 'bad' : 'accent'}>{type}</Badge>
              <span class="mono">{count(zxid)}</span>
              <span class="hint">
                {at !== undefined && <Ago at={at} />}
                {data && `, ${count(data.length)} bytes`}
              </span>
            </button>
          </li>
        ))}
      </ol>
      {change && (
        <div class="history-change">
          <Diff before={textOf(before)} after={textOf(change)} label={`What transaction ${change.zxid} has changed`} />
          {change.isTruncated && <p class="hint">The history keeps the first 16 KiB of what was written.</p>}
          {node && change.data && !change.isTruncated && change.zxid !== node.stat.mzxid && !isReadOnly && (
            <div>
              <Button icon="refresh" onClick={() => setReverting(true)}>
                Set it back to this
              </Button>
            </div>
          )}
        </div>
      )}
      {isReverting && change?.data && node && (
        <Confirm
          title={`Set ${path} back`}
          submit="Set it back"
          onClose={() => setReverting(false)}
          onConfirm={async () => {
            const { contentType, data = new Uint8Array() } = change;
            await api().tree.set(path, data, {
              mzxid: node.stat.mzxid,
              ...(contentType !== undefined && { contentType }),
            });
            setReverting(false);
            tell(`${path} is as it was in transaction ${change.zxid}`);
          }}
        >
          <Diff before={inLines(node.text)} after={textOf(change)} label="What will change" />
        </Confirm>
      )}
    </div>
  );
}

function textOf(change: Change | undefined): string {
  return change?.data ? inLines(new TextDecoder().decode(change.data)) : '';
}

async function historyOf(path: string, signal: AbortSignal): Promise<Change[]> {
  const changes: Change[] = [];
  let before: number | undefined;
  for (let pages = 0; pages < pagesMax && changes.length < wantedMin; pages += 1) {
    const query = new URLSearchParams({
      path,
      data: 'true',
      limit: String(pageSize),
      ...(before !== undefined && { before: String(before) }),
    });
    const page = await api().request<EventHistory>({ path: `/v1/events?${query}`, signal });
    for (const { zxid, events } of page.transactions) {
      for (const event of events) {
        if (event.path !== path || event.type === 'children') continue;
        const at = event.type === 'created' ? event.stat?.ctime : event.stat?.mtime;
        const { contentType, type, truncated = false } = event;
        changes.push({ zxid, type, at, data: toBytes(event), contentType, isTruncated: truncated });
      }
    }
    before = page.next;
    if (before === undefined) break;
  }
  return changes;
}
