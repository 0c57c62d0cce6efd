// The settings of topics, for the rows in view only: a few requests at the same time, and each topic once, until its settings change.
import { signal } from '@preact/signals';
import type { Topic } from '@weirkeeper/client';
import { useEffect } from 'preact/hooks';
import { api } from '../live/session.ts';
import { followPath } from '../live/watch.ts';

const known = signal<ReadonlyMap<string, Topic>>(new Map());
const knownMax = 2000;
const atOnceMax = 4;
const wanted: string[] = [];
let running = 0;

/** The description of a topic once it is here. @param key changes when the topic is another one of the same name */
export function useTopicDetails(name: string, key: string): Topic | undefined {
  const topic = known.value.get(name);
  const isStale = topic !== undefined && topic.topicId !== key;
  const isMissing = topic === undefined || isStale;
  useEffect(() => {
    if (!isMissing) return undefined;
    wanted.push(name);
    work();
    return () => {
      const at = wanted.indexOf(name);
      if (at >= 0) wanted.splice(at, 1);
    };
  }, [name, key, isMissing]);
  return isStale ? undefined : topic;
}

/** Forgets settings when they change, while the component is shown. */
export function useSettingsWatch(): void {
  useEffect(() => {
    const end = followPath(
      '/config/topics',
      { mode: 'recursive' },
      {
        transaction: ({ events }) => forget(events.map(({ path }) => path.split('/')[3] ?? '')),
        resync: () => {},
      },
    );
    return end;
  }, []);
}

export function forget(names: readonly string[]): void {
  const rest = new Map(known.peek());
  for (const name of names) rest.delete(name);
  if (rest.size < known.peek().size) known.value = rest;
}

function work(): void {
  while (running < atOnceMax) {
    // The newest first: those before may be out of view by now.
    const name = wanted.pop();
    if (name === undefined) return;
    running += 1;
    void api()
      .admin.topics.describe(name)
      .then(
        (topic) => {
          const next = new Map(known.peek()).set(name, topic);
          const [oldest] = next.keys();
          if (next.size > knownMax && oldest !== undefined) next.delete(oldest);
          known.value = next;
        },
        // It was deleted, or may not be read: the row does without.
        () => {},
      )
      .finally(() => {
        running -= 1;
        work();
      });
  }
}

/** Keeps a description from elsewhere. */
export function remember(topic: Topic): void {
  known.value = new Map(known.peek()).set(topic.name, topic);
}
