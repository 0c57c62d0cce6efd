// Says in words what a change of the tree means: what Kafka kept in ZooKeeper, node by node.
import type { WatchEvent } from '@weirkeeper/client';

interface State {
  leader?: number;
  brokerid?: number;
  leader_epoch?: number;
  isr?: readonly number[];
}

type Words = (event: WatchEvent, parts: readonly string[]) => string | undefined;

const meanings: readonly (readonly [pattern: RegExp, words: Words])[] = [
  [
    /^\/controller$/,
    ({ type, data }) =>
      type === 'deleted' ? 'Nobody is the controller.' : `Broker ${read(data).brokerid} is the controller.`,
  ],
  [
    /^\/controller_epoch$/,
    ({ data }) => `The epoch of the controller is ${data}: changes of earlier ones are refused.`,
  ],
  [
    /^\/brokers\/ids\/(\d+)$/,
    ({ type }, [id]) =>
      type === 'deleted'
        ? `Broker ${id} is gone: its session has ended, and its node with it.`
        : type === 'created'
          ? `Broker ${id} has registered.`
          : undefined,
  ],
  [
    /^\/brokers\/topics\/([^/]+)$/,
    ({ type }, [topic]) =>
      type === 'created' ? `The topic ${topic} is there, with the replicas of its partitions.` : undefined,
  ],
  [
    /^\/brokers\/topics\/([^/]+)\/partitions\/(\d+)\/state$/,
    ({ type, data }, [topic, partition]) => {
      const { leader, isr = [] } = read(data);
      if (type === 'deleted' || leader === undefined) return undefined;
      return leader < 0
        ? `${topic}-${partition} has no leader.`
        : `${topic}-${partition} is led by broker ${leader}; its ISR is ${isr.join(', ')}.`;
    },
  ],
  [
    /^\/consumers\/([^/]+)\/ids\/([^/]+)$/,
    ({ type }, [group, member]) =>
      type === 'created'
        ? `${member} has joined ${group}.`
        : type === 'deleted'
          ? `${member} has left ${group}.`
          : undefined,
  ],
  [
    /^\/consumers\/([^/]+)\/owners\/([^/]+)\/(\d+)$/,
    ({ type, data }, [, topic, partition]) =>
      type === 'deleted' ? `Nobody reads ${topic}-${partition}.` : `${data} reads ${topic}-${partition}.`,
  ],
];

/** @returns undefined for a change that is of no interest */
export function wordsOf(event: WatchEvent): string | undefined {
  for (const [pattern, words] of meanings) {
    const match = pattern.exec(event.path);
    if (match) return words(event, match.slice(1));
  }
  return undefined;
}

function read(data: unknown): State {
  try {
    return JSON.parse(String(data)) as State;
  } catch {
    return {};
  }
}
