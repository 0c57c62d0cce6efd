// What the head of every page shows: the cluster, its brokers, and the one that serves this page. It is read again when a broker comes
// or goes.
import { signal } from '@preact/signals';
import type { Brokers, Cluster, Resources } from '@weirkeeper/client';
import { useEffect } from 'preact/hooks';
import { api } from './session.ts';
import { followPath } from './watch.ts';

export const cluster = signal<Cluster | undefined>(undefined);
export const brokers = signal<Brokers['brokers']>([]);
/** Partitions without a leader, when the brokers were read last. */
export const offlinePartitions = signal<number | undefined>(undefined);
/** The broker that serves the page. */
export const server = signal<{ version: string; brokerId: number | null } | undefined>(undefined);

/** Events of a change come in groups: one read for all of them. */
const debounceMs = 100;

export function showBrokers(read: Brokers): void {
  brokers.value = read.brokers;
  offlinePartitions.value = read.offlinePartitions;
}

/** Keeps them up to date while the component is shown. */
export function useCluster(): void {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = async () => {
      timer = undefined;
      // Where one of them fails the next change, or the page's badge, will tell.
      const [c, b, s] = await Promise.allSettled([
        api().admin.cluster(),
        api().request<Brokers>({ path: '/v1/brokers' }),
        api().request<Resources>({ path: '/v1' }),
      ]);
      if (c.status === 'fulfilled') cluster.value = c.value;
      if (b.status === 'fulfilled') showBrokers(b.value);
      if (s.status === 'fulfilled') server.value = s.value;
    };
    const later = () => {
      timer ??= setTimeout(() => void read(), debounceMs);
    };
    const handlers = { transaction: later, resync: later, failed: later };
    const ends = [
      followPath('/brokers/ids', { mode: 'recursive' }, handlers),
      followPath('/controller', { mode: 'node' }, handlers),
    ];
    return () => {
      clearTimeout(timer);
      for (const end of ends) end();
    };
  }, []);
}
