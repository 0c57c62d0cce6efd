// The ephemeral nodes of one session: what will be gone when it ends.
import { isWeirError } from '@weirkeeper/client';
import { useResource } from '../live/resource.ts';
import { api } from '../live/session.ts';
import { linkToNode } from '../router.ts';
import { count } from '../ui/format.ts';
import { Icon } from '../ui/icon.tsx';
import { Empty, IconButton, Panel, Problem } from '../ui/parts.tsx';

/** A list of more would help nobody. */
const shownMax = 500;
const everyMs = 2000;

interface SessionDetail {
  id: string;
  label?: string;
  ephemerals: string[];
}

export function SessionNodes({ id, onClose }: { id: string; onClose: () => void }) {
  const { data, error, reload } = useResource(
    `session ${id}`,
    (signal) => api().request<SessionDetail>({ path: `/v1/sessions/${encodeURIComponent(id)}`, signal }),
    { everyMs },
  );
  const hasEnded = isWeirError(error, 'SESSION_EXPIRED');
  const nodes = data?.ephemerals ?? [];
  return (
    <Panel
      title={
        <>
          Nodes of session <span class="mono">{id}</span>
        </>
      }
      actions={<IconButton icon="close" label="Close the session" onClick={onClose} />}
    >
      {hasEnded && (
        <p class="hint">
          The session has ended{nodes.length > 0 && `, and with it ${nodes.length === 1 ? 'this node' : 'these nodes'}`}
          .
        </p>
      )}
      {error !== undefined && !hasEnded && <Problem error={error} onRetry={reload} />}
      {data && nodes.length === 0 && !hasEnded && (
        <Empty icon="ephemeral" title="It has no ephemeral node that you may see">
          A program creates one with <code>weir node create /app/me --ephemeral</code>, or{' '}
          <code>
            tree.create(path, data,
            {'{'} mode: 'ephemeral' {'}'})
          </code>
          .
        </Empty>
      )}
      {nodes.length > 0 && (
        <ul class="session-nodes">
          {nodes.slice(0, shownMax).map((path) => (
            <li key={path} data-gone={hasEnded}>
              <Icon name="ephemeral" />
              <a class="mono" href={linkToNode(path)}>
                {path}
              </a>
            </li>
          ))}
        </ul>
      )}
      {nodes.length > shownMax && (
        <p class="hint">
          The first {count(shownMax)} of {count(nodes.length)}.
        </p>
      )}
    </Panel>
  );
}
