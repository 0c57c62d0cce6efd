// The cluster at a glance: what is well, what is not, and what the last 15 minutes were like.
import type { Brokers, StatsSample } from '@weirkeeper/client';
import { useMemo } from 'preact/hooks';
import { brokers, cluster, offlinePartitions, showBrokers } from '../live/cluster.ts';
import { useResource } from '../live/resource.ts';
import { api } from '../live/session.ts';
import { statsProblem, useStats } from '../live/stats.ts';
import { linkTo } from '../router.ts';
import { bytes, compact, count, counted, millis, nothing } from '../ui/format.ts';
import { Badge, Bar, PageHead, Problem, Tile } from '../ui/parts.tsx';
import { Plot } from '../ui/plot.tsx';

export default function Overview() {
  const samples = useStats();
  const newest = samples.at(-1);
  return (
    <>
      <PageHead title="Overview" />
      <div class="tiles">
        <ClusterTiles />
        <FigureTiles newest={newest} />
      </div>
      {statsProblem.value !== undefined && <Problem error={statsProblem.value} />}
      <Plots samples={samples} />
    </>
  );
}

/** Memory use at which one should look, and at which writes are refused soon. */
const [fullWarn, fullBad] = [0.75, 0.9];
const refreshMs = 5000;

function ClusterTiles() {
  const { controller, store } = cluster.value ?? {};
  const all = brokers.value;
  const offline = offlinePartitions.value;
  // Leaders change without a change of the brokers, too.
  useResource('brokers', async () => showBrokers(await api().request<Brokers>({ path: '/v1/brokers' })), {
    everyMs: refreshMs,
  });
  const max = store?.maxMemoryBytes ?? 0;
  const share = store && max > 0 ? store.usedMemoryBytes / max : undefined;
  const memoryKind = share === undefined || share < fullWarn ? 'plain' : share < fullBad ? 'warn' : 'bad';
  const unreachable = store?.unreachable.length ?? 0;
  return (
    <>
      <Tile
        label="Brokers"
        value={count(all.length)}
        note={brokerNote(all.map(({ id }) => id))}
        href={linkTo('brokers')}
      />
      <Tile
        label="Controller"
        value={controller ? `Broker ${controller.brokerId}` : nothing}
        note={controller ? `epoch ${controller.epoch}` : 'an election is going on'}
        kind={cluster.value && !controller ? 'warn' : 'plain'}
      />
      <Tile
        label="Offline partitions"
        value={count(offline)}
        note={offline ? 'without a leader' : offline === 0 ? 'all have a leader' : undefined}
        kind={offline ? 'bad' : 'plain'}
      />
      <Tile
        label="Store memory"
        value={bytes(store?.usedMemoryBytes)}
        note={max > 0 ? `of ${bytes(max)}` : 'no limit'}
        kind={memoryKind}
      >
        {share !== undefined && (
          <Bar
            share={share}
            label="Share of the memory of the store"
            kind={memoryKind === 'plain' ? 'accent' : memoryKind}
          />
        )}
      </Tile>
      <Tile
        label="Redis"
        value={store?.version ?? nothing}
        note={
          unreachable > 0 ? (
            <Badge kind="bad">{counted(unreachable, 'server')} away</Badge>
          ) : store && store.engine !== 'standalone' ? (
            `${store.engine}, ${counted(store.shards, 'shard')}`
          ) : (
            'one server'
          )
        }
        kind={unreachable > 0 ? 'bad' : 'plain'}
      />
    </>
  );
}

function brokerNote(ids: readonly number[]): string {
  if (ids.length === 0) return 'none has registered';
  if (ids.length > 5) return 'all of them are alive';
  return `${ids.length === 1 ? 'its id is' : 'their ids:'} ${ids.join(', ')}`;
}

function FigureTiles({ newest }: { newest: StatsSample | undefined }) {
  const lag = newest?.lag[0];
  return (
    <>
      <Tile label="Sessions" value={count(newest?.sessions)} href={linkTo('sessions')} />
      <Tile
        label="Nodes"
        value={count(newest?.nodes)}
        note={newest && `${count(newest.watches)} ${newest.watches === 1 ? 'watch' : 'watches'} on this server`}
        href={linkTo('tree')}
      />
      <Tile
        label="Largest lag"
        value={newest ? count(lag?.lag ?? 0) : nothing}
        note={lag && lag.lag > 0 ? lag.group : 'no group is behind'}
        href={lag && lag.lag > 0 ? linkTo('groups', [lag.group]) : linkTo('groups')}
      />
    </>
  );
}

function Plots({ samples }: { samples: readonly StatsSample[] }) {
  const { times, of } = useMemo(
    () => ({
      times: samples.map(({ at }) => at / 1000),
      of: (pick: (sample: StatsSample) => number | null) => samples.map(pick),
    }),
    [samples],
  );
  const perSecond = (value: number | null | undefined) =>
    value === null || value === undefined ? nothing : `${compact(value)}/s`;
  const bytesPerSecond = (value: number | null | undefined) =>
    value === null || value === undefined ? nothing : `${bytes(value)}/s`;
  return (
    <div class="plots">
      <Plot
        title="Records"
        times={times}
        format={perSecond}
        series={[
          { name: 'In', colour: '--accent', values: of((s) => s.recordsInPerSec) },
          { name: 'Out', colour: '--violet', isDashed: true, values: of((s) => s.recordsOutPerSec) },
        ]}
      />
      <Plot
        title="Bytes"
        times={times}
        isBinary
        format={bytesPerSecond}
        series={[
          { name: 'In', colour: '--accent', values: of((s) => s.bytesInPerSec) },
          { name: 'Out', colour: '--violet', isDashed: true, values: of((s) => s.bytesOutPerSec) },
        ]}
      />
      <Plot
        title="Requests"
        times={times}
        format={perSecond}
        series={[{ name: 'Requests', colour: '--accent', values: of((s) => s.requestsPerSec) }]}
      />
      <Plot
        title="Duration of requests"
        times={times}
        format={millis}
        series={[
          { name: 'p99', colour: '--accent', values: of((s) => s.p99Ms) },
          { name: 'p50', colour: '--violet', isDashed: true, values: of((s) => s.p50Ms) },
        ]}
      />
      <Plot
        title="Lag"
        times={times}
        format={compact}
        series={[{ name: 'Largest', colour: '--warn', values: of((s) => s.lag[0]?.lag ?? 0) }]}
      />
      <Plot
        title="Clients"
        times={times}
        format={count}
        series={[
          { name: 'Connections', colour: '--accent', values: of((s) => s.connections) },
          { name: 'Sockets', colour: '--violet', isDashed: true, values: of((s) => s.sockets) },
        ]}
      />
    </div>
  );
}
