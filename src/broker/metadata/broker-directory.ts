// Lists the live brokers with what they report of themselves: each writes a report with the renewals of its session, every few seconds.
import { z } from 'zod';
import { decodeBroker, decodeController } from '../../core/cluster/cluster-nodes.ts';
import { noLeader } from '../../core/cluster/leader-election.ts';
import type { Brokers } from '../../store/brokers.ts';
import type { BrokerRegistration } from './broker-registration.ts';
import type { PartitionCache } from './partition-cache.ts';

/** So many topics stand in a report, those of which the broker sends most; a name has up to 249 characters. */
const reportedTopicsMax = 100;
/** Reports are written every few seconds. */
const reportsFreshMs = 1000;

const brokerReport = z.object({
  version: z.string(),
  /** Open connections of clients. */
  connections: z.int(),
  /** By topic, records that the broker sends each second. */
  sends: z.record(z.string(), z.number()),
});

type BrokerReport = z.output<typeof brokerReport>;

export interface BrokerActivity {
  version: string;
  connections(): Promise<number>;
  /** By topic, records that this broker sends each second. */
  sends(): Map<string, number>;
}

/** What this broker reports of itself, as the text that is stored. */
export async function reportOf({ version, connections, sends }: BrokerActivity): Promise<string> {
  const topics = [...sends()].sort(([, a], [, b]) => b - a).slice(0, reportedTopicsMax);
  const report: BrokerReport = { version, connections: await connections(), sends: Object.fromEntries(topics) };
  return JSON.stringify(report);
}

export class BrokerDirectory {
  readonly #brokers: Brokers;
  readonly #partitions: PartitionCache;
  readonly #registration: BrokerRegistration;
  readonly #activity: BrokerActivity;
  /** Records that other brokers send each second, by topic. */
  #sends: Promise<Map<string, number>> = Promise.resolve(new Map());
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(
    store: { brokers: Brokers },
    partitions: PartitionCache,
    registration: BrokerRegistration,
    activity: BrokerActivity,
  ) {
    this.#brokers = store.brokers;
    this.#partitions = partitions;
    this.#registration = registration;
    this.#activity = activity;
  }

  /** The live brokers, by id, and the partitions that none of them leads. */
  async list() {
    const { zxid, controller, brokers } = await this.#brokers.list();
    const controllerId = controller && decodeController(controller).brokerId;
    const led = this.#partitions.ledByBroker();
    const own = this.#registration.session && this.#registration.brokerId;
    const listed = brokers.map(async ({ id, data, report: text }) => {
      const { endpoints, rack = null, worker = null, startedAt } = decodeBroker(data);
      const report = id === own ? await this.#ownReport() : decodeReport(text);
      return {
        id,
        version: report?.version ?? null,
        url: endpoints[0] ?? '',
        rack,
        worker,
        startedAt,
        isController: id === controllerId,
        partitionsLed: led.get(id) ?? 0,
        connections: report?.connections ?? null,
      };
    });
    return { zxid, brokers: await Promise.all(listed), offlinePartitions: led.get(noLeader) ?? 0 };
  }

  /** Records that all brokers send each second, by topic; of other brokers of the topics in their reports. */
  async sendsPerSecond(): Promise<(topic: string) => number> {
    const now = performance.now();
    if (now - this.#readAt > reportsFreshMs) {
      this.#readAt = now;
      this.#sends = this.#sendsOfOthers();
    }
    const [own, others] = [this.#activity.sends(), await this.#sends];
    return (topic) => (own.get(topic) ?? 0) + (others.get(topic) ?? 0);
  }

  async #sendsOfOthers(): Promise<Map<string, number>> {
    const own = this.#registration.session && this.#registration.brokerId;
    const sends = new Map<string, number>();
    for (const { id, report } of (await this.#brokers.list()).brokers) {
      if (id === own) continue;
      for (const [topic, rate] of Object.entries(decodeReport(report)?.sends ?? {})) {
        sends.set(topic, (sends.get(topic) ?? 0) + rate);
      }
    }
    return sends;
  }

  async #ownReport(): Promise<Pick<BrokerReport, 'version' | 'connections'>> {
    return { version: this.#activity.version, connections: await this.#activity.connections() };
  }
}

/** Undefined if there is none, or a broker of another version has written it in another form. */
function decodeReport(text: string | undefined): BrokerReport | undefined {
  if (text === undefined) return undefined;
  const { success, data } = brokerReport.safeParse(JSON.parse(text));
  return success ? data : undefined;
}
