// What the server does, each second: the one event stream of the page, open while something shows it and somebody looks.
import { effect, signal } from '@preact/signals';
import { isWeirError, type StatsSample } from '@weirkeeper/client';
import { useEffect } from 'preact/hooks';
import { api, isActive, setConnection, tokenNeeded } from './session.ts';

/** 15 minutes, as the server keeps them. */
const samplesMax = 900;
const flushMs = 40;
const retryMs = 1000;

export const stats = signal<readonly StatsSample[]>([]);
/** Why there are none: the user may not read metrics, say. */
export const statsProblem = signal<unknown>(undefined);

let readers = 0;
let stop: (() => void) | undefined;

/** Keeps the samples coming while the component is shown. @returns them, the newest last */
export function useStats(): readonly StatsSample[] {
  useEffect(() => {
    readers += 1;
    stop ??= start();
    return () => {
      readers -= 1;
      if (readers > 0) return;
      stop?.();
      stop = undefined;
    };
  }, []);
  return stats.value;
}

function start(): () => void {
  return effect(() => {
    if (!isActive.value) return undefined;
    const round = new AbortController();
    void follow(round.signal);
    return () => round.abort();
  });
}

async function follow(signal: AbortSignal): Promise<void> {
  const arrived: StatsSample[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  // The first ones come all at once: they are shown together.
  const flush = () => {
    timer = undefined;
    stats.value = [...stats.peek(), ...arrived.splice(0)].slice(-samplesMax);
  };
  while (!signal.aborted) {
    try {
      const lastEventId = stats.peek().at(-1)?.at;
      const options = { signal, lastEventId: lastEventId === undefined ? undefined : String(lastEventId) };
      for await (const { event, data } of api().serverSentEvents('/v1/stats/stream', options)) {
        if (event !== 'message') break;
        statsProblem.value = undefined;
        arrived.push(JSON.parse(data) as StatsSample);
        timer ??= setTimeout(flush, flushMs);
      }
    } catch (error) {
      if (signal.aborted) break;
      if (isWeirError(error, 'AUTH_REQUIRED')) {
        tokenNeeded(error.detail);
        break;
      }
      if (isWeirError(error, 'FORBIDDEN')) {
        statsProblem.value = error;
        break;
      }
      setConnection('reconnecting');
    }
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
  clearTimeout(timer);
}
