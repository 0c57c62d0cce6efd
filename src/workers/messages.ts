// The messages between the primary process of a server and its workers, over the channel that Node opens between them.
import type { StatsSample } from '../../schemas/stats.ts';
import type { MetricsSnapshot } from '../broker/metrics.ts';
import type { ProcessSample } from '../broker/server-stats.ts';
import type { Config } from '../config/config.ts';
import type { LoadingProgress } from '../store/redis/server-info.ts';
import type { StoreTarget } from '../store/redis/target.ts';
import type { TicketSeed } from '../tls/ticket-keys.ts';

/** What a worker is to be; the first message to it. */
export interface StartOrder {
  kind: 'start';
  /** Its number, from 1, and how many workers the server has. */
  worker: number;
  workers: number;
  /** The configuration of this worker: with its own broker id, and its part of what is divided. */
  config: Config;
  target: StoreTarget;
  ticketSeed: TicketSeed;
  stopMsMax: number;
  /** The session of the broker that was this worker before. */
  predecessor?: string;
  /** The URL at which other workers serve: this one listens last. */
  url?: string;
  /** Whether it need not wait for `listen`, and for `store-started`. */
  mayListen: boolean;
  isStoreStarted: boolean;
  /** Whether the server has served: a start of one worker is then an event like others. */
  hasServed: boolean;
}

export type ToWorker =
  | StartOrder
  /** All workers can bind the port: those that wait for it do so together, so that none gets all connections of a storm. */
  | { kind: 'listen' }
  /** How far the private Redis has loaded its data; undefined if it is not loading. */
  | { kind: 'store-loading'; progress: LoadingProgress | undefined }
  | { kind: 'store-started' }
  /** All workers serve for the first time. */
  | { kind: 'server-serves' }
  /** Read the policy and the TLS files again. */
  | { kind: 'reload' }
  | { kind: 'stop'; drains: boolean }
  | { kind: 'read-metrics'; id: number }
  /** What the whole server has done in a second; to a worker that is new, in the seconds before. */
  | { kind: 'server-stats'; samples: StatsSample[] }
  /** The text of all workers, for the request with this id; without a text it could not be made. */
  | { kind: 'whole-metrics'; id: number; text?: string };

export type FromWorker =
  /** Its program runs. What was sent to it before is lost. */
  | { kind: 'loaded' }
  /** It can bind the port. */
  | { kind: 'built' }
  | { kind: 'listening'; url: string }
  | { kind: 'registered'; brokerId: number; session: string }
  /** @property redisVersion such as `7.0.15` */
  | { kind: 'serving'; url: string; redisVersion: string }
  /** How far a shared Redis has loaded its data. */
  | { kind: 'redis-loading'; progress: LoadingProgress }
  /** It ends with this reason. `forAll`: the reason holds for the whole server. */
  | { kind: 'failed'; reason: string; forAll: boolean }
  | { kind: 'metrics'; id: number; snapshot: MetricsSnapshot }
  /** What it has done in a second. */
  | { kind: 'stats'; sample: ProcessSample }
  | { kind: 'read-whole-metrics'; id: number };
