// What this broker appends to topics and reads from them: counters for the metrics, and rates of what it reads. The paths of produce and
// fetch call it, so each call is one look-up in a map.
import type { Metrics } from '../metrics.ts';
import { Rates } from './rates.ts';

/** So many topics have series of their own: four figures each, about 100 bytes a figure. The first ones keep them until they are deleted. */
export const topicSeriesMax = 1000;
/** The label of all others. No topic can have this name. */
export const otherTopics = '(other)';

const kinds = ['appendedRecords', 'appendedBytes', 'fetchedRecords', 'fetchedBytes'] as const;
type Traffic = Record<(typeof kinds)[number], number>;

const helps: Record<(typeof kinds)[number], [name: string, help: string]> = {
  appendedRecords: ['topic_appended_records_total', 'Records that this broker appended, by topic'],
  appendedBytes: ['topic_appended_bytes_total', 'Bytes of records that this broker appended, by topic'],
  fetchedRecords: ['topic_fetched_records_total', 'Records that this broker read from logs, by topic'],
  fetchedBytes: ['topic_fetched_bytes_total', 'Bytes of records that this broker read from logs, by topic'],
};

export class TopicTraffic {
  readonly #topics = new Map<string, Traffic>();
  readonly #others: Traffic = noTraffic();
  readonly #fetchRates = new Rates();
  #hasOthers = false;

  constructor(metrics: Metrics) {
    for (const kind of kinds) {
      const [name, help] = helps[kind];
      metrics.counters(name, `${help}; for ${topicSeriesMax} topics, the others together.`, ['topic'], () => [
        ...[...this.#topics].map(([topic, traffic]) => ({ labels: { topic }, value: traffic[kind] })),
        ...(this.#hasOthers ? [{ labels: { topic: otherTopics }, value: this.#others[kind] }] : []),
      ]);
    }
  }

  noteAppended(topic: string, records: number, bytes: number): void {
    const traffic = this.#of(topic);
    traffic.appendedRecords += records;
    traffic.appendedBytes += bytes;
  }

  noteFetched(topic: string, records: number, bytes: number): void {
    if (records === 0) return;
    const traffic = this.#of(topic);
    traffic.fetchedRecords += records;
    traffic.fetchedBytes += bytes;
    this.#fetchRates.add(topic, records);
  }

  /** Records per second that this broker reads from topics, of those that are read now. */
  fetchRates(): Map<string, number> {
    return new Map(this.#fetchRates.all());
  }

  /** To be called each second. */
  tick(): void {
    this.#fetchRates.tick();
  }

  /** Forgets a topic that was deleted: its place is free for another one. */
  forget(topic: string): void {
    this.#topics.delete(topic);
  }

  #of(topic: string): Traffic {
    const known = this.#topics.get(topic);
    if (known) return known;
    if (this.#topics.size >= topicSeriesMax) {
      this.#hasOthers = true;
      return this.#others;
    }
    const traffic = noTraffic();
    this.#topics.set(topic, traffic);
    return traffic;
  }
}

function noTraffic(): Traffic {
  return { appendedRecords: 0, appendedBytes: 0, fetchedRecords: 0, fetchedBytes: 0 };
}
