// Metrics of the sizes of all topics of the cluster. Every broker knows them (log-figures.ts); only the controller shows them, so that
// sums over all brokers are right.
import type { Metrics } from '../metrics.ts';
import type { LogFigures } from './log-figures.ts';
import { otherTopics, topicSeriesMax } from './topic-traffic.ts';

export function createTopicMetrics(figures: LogFigures, isController: () => boolean, metrics: Metrics): void {
  metrics.gauges(
    'topic_log_bytes',
    `Bytes of the records of a topic; only the controller has this, for the ${topicSeriesMax} largest topics, the others together.`,
    ['topic'],
    () => {
      if (!isController()) return [];
      const topics = [...figures.all()].sort((a, b) => b.bytes - a.bytes);
      const others = topics.slice(topicSeriesMax);
      const shown = topics
        .slice(0, topicSeriesMax)
        .map(({ name, bytes }) => ({ labels: { topic: name }, value: bytes }));
      if (others.length === 0) return shown;
      return [...shown, { labels: { topic: otherTopics }, value: others.reduce((sum, { bytes }) => sum + bytes, 0) }];
    },
    // While the controller changes, two workers of a server may have them.
    'max',
  );
}
