// A closed loop of requests over any client: a fixed number is in flight, and each response starts the next request.
import { createHistogram } from 'node:perf_hooks';
import type { Round } from './http-load.ts';

/** Sends one request, and calls back with its response; with an error if it failed. */
export type Send = (done: (error?: Error) => void) => void;

/** Keeps `inFlight` requests in flight for `ms`. @throws Error of the first request that fails */
export function closedLoop(send: Send, inFlight: number, ms: number): Promise<Round> {
  return new Promise((resolve, reject) => {
    const latencyUs = createHistogram();
    const startedAt = performance.now();
    const until = startedAt + ms;
    let [requests, busy] = [0, 0];
    const start = () => {
      const sentAt = performance.now();
      if (sentAt >= until) return;
      busy += 1;
      send((error) => {
        if (error) {
          reject(error);
          return;
        }
        busy -= 1;
        requests += 1;
        latencyUs.record(Math.max(1, Math.round((performance.now() - sentAt) * 1000)));
        start();
        if (busy > 0) return;
        resolve({ perSecond: (requests * 1000) / (performance.now() - startedAt), requests, latencyUs });
      });
    };
    for (let i = 0; i < inFlight; i++) start();
  });
}

/** A closed loop on each of several connections at the same time. @returns the sum of all */
export async function closedLoops(sends: readonly Send[], inFlight: number, ms: number): Promise<Round> {
  const rounds = await Promise.all(sends.map((send) => closedLoop(send, inFlight, ms)));
  const latencyUs = createHistogram();
  for (const round of rounds) latencyUs.add(round.latencyUs);
  const sum = (of: (round: Round) => number) => rounds.reduce((total, round) => total + of(round), 0);
  return { perSecond: sum(({ perSecond }) => perSecond), requests: sum(({ requests }) => requests), latencyUs };
}

/** Calls the functions in rotation: for a request on each of several connections. */
export function inTurns<A extends unknown[]>(functions: readonly ((...given: A) => void)[]): (...given: A) => void {
  let next = 0;
  return (...given) => functions[next++ % functions.length]!(...given);
}
