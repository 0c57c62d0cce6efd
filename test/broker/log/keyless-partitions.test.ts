// The partitions of requests whose records have no key, without a store.
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { KeylessPartitions } from '../../../src/broker/log/keyless-partitions.ts';
import type { TopicInfo } from '../../../src/broker/metadata/topic-cache.ts';

const topicOf = (partitionCount: number) => ({ partitionCount }) as TopicInfo;

t.test('requests that arrive together share a partition, and the next ones get the next', async (t) => {
  const partitions = new KeylessPartitions();
  const topic = topicOf(3);
  const first = partitions.choose(topic);
  for (let turn = 0; turn < 6; turn++) {
    for (let request = 0; request < 4; request++) {
      t.equal(partitions.choose(topic), (first + turn) % 3);
      partitions.note(topic, 100);
    }
    await nextTurn();
  }
});

t.test('large requests that arrive together are spread over the partitions', async (t) => {
  const partitions = new KeylessPartitions();
  const topic = topicOf(3);
  const first = partitions.choose(topic);
  partitions.note(topic, 16 * 1024 - 1);
  t.equal(partitions.choose(topic), first, 'up to 16 KiB have room for more');
  partitions.note(topic, 1);
  t.equal(partitions.choose(topic), (first + 1) % 3);
  partitions.note(topic, 1024 * 1024);
  t.equal(partitions.choose(topic), (first + 2) % 3);
});

t.test('each topic has partitions of its own', async (t) => {
  const partitions = new KeylessPartitions();
  const [one, other] = [topicOf(1), topicOf(2)];
  t.equal(partitions.choose(one), 0);
  const first = partitions.choose(other);
  partitions.note(other, 16 * 1024);
  t.equal(partitions.choose(one), 0);
  t.equal(partitions.choose(other), 1 - first);
});
