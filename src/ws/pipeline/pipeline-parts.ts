// What all pipelined sockets of a broker share.
import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { WatchHub } from '../../broker/watches/watch-hub.ts';
import type { SharedLimit } from '../../core/shared-limit.ts';
import type { Turns } from '../frames-in-flight.ts';
import type { PipelineLimits } from '../limits.ts';
import type { BookmarkTimer, WatchLimit } from '../socket-watches.ts';
import type { Sockets } from '../sockets.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { CommittingMember, LogRequests } from './log-requests.ts';
import type { PipelineMetrics } from './pipeline-metrics.ts';
import type { SharedReads } from './read-budget.ts';
import type { SessionBroker } from './socket-session.ts';
import type { TreeRequests } from './tree-requests.ts';

/** The right to do work, which admission control gives. */
export interface Permit {
  release(): void;
}

/** Who a permit is for. */
export type SocketClient = Pick<FastifyRequest, 'clientKey' | 'actsAs' | 'account'>;

/** The permits that admission control gives to sockets. */
export interface WorkPermits {
  /**
   * Gives a permit for some requests, at once or later; it waits without a limit of time.
   * @returns a function that gives up the wait; undefined if the permit was given at once
   */
  enter(
    clientKey: string,
    work: { weight: number; requests: number },
    admitted: (permit: Permit) => void,
  ): (() => void) | undefined;
  /** Runs work that keeps a session alive in the reserved capacity. */
  keepSession<T>(client: SocketClient, handle: string, work: () => Promise<T>): Promise<T>;
  /** Runs a small commit of a member there. */
  commit<T>(client: SocketClient, member: CommittingMember, work: () => Promise<T>): Promise<T>;
}

export interface PipelineParts {
  broker: SessionBroker & { watches: WatchHub; log: Logger };
  sockets: Sockets;
  dispatcher: Dispatcher;
  tree: TreeRequests;
  logs: LogRequests;
  permits: WorkPermits;
  turns: Turns;
  watchLimit: WatchLimit;
  bookmarks: BookmarkTimer;
  limits: PipelineLimits;
  /** Counts the bytes of frames in flight on all sockets. */
  frameBytes: SharedLimit;
  /** Counts what all sockets read at once. */
  reads: SharedReads;
  metrics: PipelineMetrics;
}
