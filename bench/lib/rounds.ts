// Rounds of load with the CPU time of the server and of its Redis, and the statistics over all rounds.
import { createHistogram } from 'node:perf_hooks';
import type { Round } from './http-load.ts';
import { median, shown } from './measure.ts';
import type { ServerProcess, WeirServer } from './processes.ts';

export interface WatchedRound extends Round {
  serverUs: number;
  redisUs: number;
}

/** A round, with the CPU time that it cost the server and its Redis. */
export async function watchedRound(
  run: () => Promise<Round>,
  server: ServerProcess | WeirServer,
): Promise<WatchedRound> {
  const redisCpuUs = () => ('redisCpuUs' in server ? (server.redisCpuUs ?? Number.NaN) : 0);
  const [serverBefore, redisBefore] = [server.cpuUs ?? Number.NaN, redisCpuUs()];
  const round = await run();
  return {
    ...round,
    serverUs: (server.cpuUs ?? Number.NaN) - serverBefore,
    redisUs: redisCpuUs() - redisBefore,
  };
}

/** The results of all rounds of one case. */
export class Sums {
  readonly perSecond: number[] = [];
  readonly latencyUs = createHistogram();
  requests = 0;
  serverUs = 0;
  redisUs = 0;

  readonly add = (round: WatchedRound): WatchedRound => {
    this.perSecond.push(round.perSecond);
    this.latencyUs.add(round.latencyUs);
    this.requests += round.requests;
    this.serverUs += round.serverUs;
    this.redisUs += round.redisUs;
    return round;
  };

  /** Requests per second, median of the rounds. */
  get rate(): number {
    return median(this.perSecond);
  }

  /** Latency in ms: `share` from 0 to 100. */
  latencyMs(share: number): string {
    return shown(this.latencyUs.percentile(share) / 1000);
  }

  /** CPU time per request, µs. */
  get serverUsEach(): number {
    return this.serverUs / this.requests;
  }

  get redisUsEach(): number {
    return this.redisUs / this.requests;
  }
}
