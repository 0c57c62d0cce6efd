// What is always visible: where one is connected to, whether what is shown is live, and the search.
import { useEffect, useState } from 'preact/hooks';
import { cluster, server } from '../live/cluster.ts';
import { connection, identity, isPaused, isReadOnly, lostAt } from '../live/session.ts';
import { duration } from '../ui/format.ts';
import { Icon } from '../ui/icon.tsx';
import { Badge, IconButton } from '../ui/parts.tsx';

export function Head({ onMenu, onSearch, onPause }: { onMenu: () => void; onSearch: () => void; onPause: () => void }) {
  const paused = isPaused.value;
  return (
    <header class="shell-head">
      <span class="head-menu">
        <IconButton icon="menu" label="Open the menu" onClick={onMenu} />
      </span>
      <div class="head-facts">
        <Facts />
      </div>
      {isReadOnly && <Badge kind="accent">read-only</Badge>}
      <button class="search-button" type="button" onClick={onSearch} aria-keyshortcuts="Control+K">
        <Icon name="search" />
        <span class="search-text">Search</span>
        <kbd class="wide-only" aria-hidden="true">
          Ctrl K
        </kbd>
      </button>
      <ConnectionBadge />
      <IconButton
        icon={paused ? 'play' : 'pause'}
        label={paused ? 'Go on with live updates' : 'Pause live updates'}
        onClick={onPause}
      />
    </header>
  );
}

function Facts() {
  const { clusterId } = cluster.value ?? {};
  const { version, brokerId } = server.value ?? {};
  const who = identity.value?.identity;
  return (
    <>
      {clusterId !== undefined && (
        <span class="wide-only" title={`Cluster ${clusterId}`}>
          Cluster <b>{clusterId.slice(0, 8)}</b>
        </span>
      )}
      {version !== undefined && (
        <span class="wide-only">
          {typeof brokerId === 'number' && (
            <>
              Broker <b>{brokerId}</b>{' '}
            </>
          )}
          v{version}
        </span>
      )}
      {typeof who === 'string' && (
        <span title="Who the server takes you for">
          <b>{who}</b>
        </span>
      )}
    </>
  );
}

const texts = { connecting: 'Connecting', live: 'Live', paused: 'Paused', reconnecting: 'Reconnecting' };

function ConnectionBadge() {
  const [, setTick] = useState(0);
  const lost = lostAt.value;
  useEffect(() => {
    if (lost === undefined) return undefined;
    const timer = setInterval(() => setTick((tick) => tick + 1), 1000);
    return () => clearInterval(timer);
  }, [lost]);
  const state = connection.value === 'live' && isPaused.value ? 'paused' : connection.value;
  const since = lost === undefined ? 0 : Date.now() - lost;
  return (
    <span class="connection" data-state={state} role="status">
      {texts[state]}
      {since > 1000 && <span class="wide-only"> for {duration(since)}</span>}
    </span>
  );
}
