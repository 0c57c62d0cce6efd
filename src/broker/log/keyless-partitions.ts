// Chooses the partitions of requests whose records have no key. Requests that arrive together share one, as with Kafka's sticky
// partitioner (KIP-794): they become one append batch, where a partition for each of them would cost a script call for each. The next
// requests get the next partition.
import { randomInt } from 'node:crypto';
import type { TopicInfo } from '../metadata/topic-cache.ts';

/** So many bytes of records get the same partition at most, beyond those of the last request; as Kafka's `batch.size`. */
const sharedBytesMax = 16 * 1024;

interface Choice {
  partition: number;
  /** The turn of the event loop in which it was made. */
  turn: number;
  /** Of the records that have got it in that turn. */
  bytes: number;
}

export class KeylessPartitions {
  /** By topic, the last choice; each broker starts at a random partition. */
  readonly #last = new WeakMap<TopicInfo, Choice>();
  #turn = 0;
  #endsTurn = false;

  /** The partition for the records of a request. */
  choose(topic: TopicInfo): number {
    this.#endTurnLater();
    const { partitionCount } = topic;
    let last = this.#last.get(topic);
    if (!last) {
      last = { partition: randomInt(partitionCount), turn: this.#turn, bytes: 0 };
      this.#last.set(topic, last);
    } else if (last.turn !== this.#turn || last.bytes >= sharedBytesMax) {
      last.partition = (last.partition + 1) % partitionCount;
      last.turn = this.#turn;
      last.bytes = 0;
    }
    return last.partition;
  }

  /** Notes how many bytes the records have that got the last choice. */
  note(topic: TopicInfo, bytes: number): void {
    const last = this.#last.get(topic);
    if (last) last.bytes += bytes;
  }

  #endTurnLater(): void {
    if (this.#endsTurn) return;
    this.#endsTurn = true;
    setImmediate(() => {
      this.#endsTurn = false;
      this.#turn += 1;
    });
  }
}
