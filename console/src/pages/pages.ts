// The pages: where they are in the menu, which keys lead to them, and what to load for them.
import type { ComponentType } from 'preact';
import type { IconName } from '../ui/icon.tsx';

export interface PageSpec {
  /** The first part of its link. */
  id: string;
  title: string;
  icon: IconName;
  group: 'Cluster' | 'Tree' | 'Log';
  /** Pressed after `g`. */
  key: string;
  /** Words by which the palette finds it. */
  words: string;
  load: () => Promise<{ default: ComponentType }>;
}

export const pages: readonly PageSpec[] = [
  {
    id: '',
    title: 'Overview',
    icon: 'overview',
    group: 'Cluster',
    key: 'o',
    words: 'health dashboard start',
    load: () => import('./overview.tsx'),
  },
  {
    id: 'brokers',
    title: 'Brokers',
    icon: 'brokers',
    group: 'Cluster',
    key: 'b',
    words: 'leaders replicas reassign controller',
    load: () => import('./brokers.tsx'),
  },
  {
    id: 'tree',
    title: 'Tree',
    icon: 'tree',
    group: 'Tree',
    key: 'n',
    words: 'nodes znodes namespace',
    load: () => import('./tree.tsx'),
  },
  {
    id: 'activity',
    title: 'Activity',
    icon: 'activity',
    group: 'Tree',
    key: 'a',
    words: 'events transactions changes history watch',
    load: () => import('./activity.tsx'),
  },
  {
    id: 'sessions',
    title: 'Sessions',
    icon: 'sessions',
    group: 'Tree',
    key: 's',
    words: 'ephemeral clients leases ttl',
    load: () => import('./sessions.tsx'),
  },
  {
    id: 'learn',
    title: 'Kafka on ZooKeeper',
    icon: 'learn',
    group: 'Tree',
    key: 'l',
    words: 'learn explain zookeeper kafka',
    load: () => import('./learn.tsx'),
  },
  {
    id: 'topics',
    title: 'Topics',
    icon: 'topics',
    group: 'Log',
    key: 't',
    words: 'records partitions produce settings',
    load: () => import('./topics.tsx'),
  },
  {
    id: 'groups',
    title: 'Groups',
    icon: 'groups',
    group: 'Log',
    key: 'c',
    words: 'consumers members lag offsets',
    load: () => import('./groups.tsx'),
  },
];

export function pageOf(id: string): PageSpec | undefined {
  return pages.find((page) => page.id === id);
}
