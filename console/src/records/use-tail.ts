// The records that are appended from now on, as a sample if there are too many, in bounded memory.
import { effect } from '@preact/signals';
import { isWeirError, type LogRecord } from '@weirkeeper/client';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { api, isActive, setConnection, tokenNeeded } from '../live/session.ts';
import { type RecordQuery, tailPath } from './record-query.ts';
import { type RecordRow, rowOf } from './record-row.ts';
import { matches } from './record-view.ts';
import { type TailRates, TailSampler, withNewest } from './tail-sampler.ts';

export interface Tail {
  /** The newest first. */
  rows: readonly RecordRow[];
  /** Rows that came while the user looked at others. */
  waiting: number;
  rates: TailRates;
  /** How far the page is behind the end of the log, ms, if that is worth a word. */
  behindMs: number;
  error: unknown;
  /** Shows the waiting rows. */
  show: () => void;
  /** Leaves out what the page is behind, and goes on at the end. */
  skip: () => void;
}

/** A timer may be some ms early, so a window is shorter than what is between two of its runs. */
const limits = { rowsPerWindow: 50, windowMs: 200 };
const everyMs = 250;
export const tailLimits = { rowsMax: 2000, bytesMax: 32 * 1024 * 1024 };
const behindMsMin = 3000;
const retryMs = 1000;
/** After so long without a pause, others get their turn: keys, clicks, and the drawing of the page. */
const turnMs = 12;

interface Frame {
  type: string;
  partition?: number;
  records?: LogRecord[];
}

/** @param isHeld whether rows wait, as the user looks at others. @param onGap something was left out: read what is there anew */
export function useTail(
  topic: string,
  query: RecordQuery,
  { isOn, isHeld, onGap }: { isOn: boolean; isHeld: boolean; onGap: () => void },
): Tail {
  const [shown, setShown] = useState<readonly RecordRow[]>([]);
  const [status, setStatus] = useState<Pick<Tail, 'waiting' | 'rates' | 'behindMs' | 'error'>>(idle);
  const [round, setRound] = useState(0);
  const waiting = useRef<RecordRow[]>([]);
  const held = useRef(isHeld);
  held.current = isHeld;
  const { key, contains, partition } = query;

  const show = useCallback(() => {
    const arrived = waiting.current.toReversed();
    waiting.current = [];
    setShown((rows) => withNewest(rows, arrived, tailLimits));
    setStatus((old) => ({ ...old, waiting: 0 }));
  }, []);

  useEffect(() => {
    waiting.current = [];
    setShown([]);
    setStatus(idle);
    if (!isOn) return undefined;
    let isFirst = true;
    return effect(() => {
      if (!isActive.value) return undefined;
      const own = new AbortController();
      if (!isFirst) {
        waiting.current = [];
        setShown([]);
        onGap();
      }
      isFirst = false;
      const sampler = new TailSampler<RecordRow['record']>(limits, performance.now());
      let newestAt = 0;
      const timer = setInterval(() => {
        const arrived = sampler.take(performance.now())?.map(rowOf);
        if (!arrived) return;
        const behindMs = sampler.rates.seen > 0 && newestAt > 0 ? Date.now() - newestAt : 0;
        if (held.current) waiting.current = withNewest(waiting.current, arrived, tailLimits);
        else {
          // The user is back: those that waited come before the others.
          const fresh = [...waiting.current.toReversed(), ...arrived];
          waiting.current = [];
          if (fresh.length > 0) setShown((rows) => withNewest(rows, fresh, tailLimits));
        }
        setStatus((old) => {
          const next = {
            waiting: waiting.current.length,
            rates: sampler.rates,
            behindMs: behindMs > behindMsMin ? behindMs : 0,
            error: undefined,
          };
          return isSame(old, next) ? old : next;
        });
      }, everyMs);
      void follow(tailPath(topic, { partition }), own.signal, {
        records: (of, records) => {
          for (const record of records) {
            newestAt = record.timestamp;
            if (key === '' && contains === '') sampler.add({ ...record, partition: of });
            else if (matches(record, { key, contains })) sampler.add({ ...record, partition: of });
          }
        },
        failed: (error) => setStatus((old) => ({ ...old, error })),
      });
      return () => {
        clearInterval(timer);
        own.abort();
      };
    });
  }, [topic, partition, key, contains, isOn, round, onGap]);

  return {
    rows: shown,
    ...status,
    show,
    skip: useCallback(() => {
      setRound((number) => number + 1);
      onGap();
    }, [onGap]),
  };
}

const idle = { waiting: 0, rates: { seen: 0, shown: 0 }, behindMs: 0, error: undefined as unknown };

function isSame(a: typeof idle, b: typeof idle): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Reads the tail until it is aborted, also after the loss of a connection, from where it was. */
async function follow(
  path: string,
  signal: AbortSignal,
  heard: { records: (partition: number, records: LogRecord[]) => void; failed: (error: unknown) => void },
): Promise<void> {
  let lastEventId: string | undefined;
  let turnBegan = performance.now();
  while (!signal.aborted) {
    try {
      for await (const { id, event, data } of api().serverSentEvents(path, { signal, lastEventId })) {
        if (event === 'problem') break;
        const { partition = 0, records = [] } = JSON.parse(data) as Frame;
        heard.records(partition, records);
        lastEventId = id;
        if (performance.now() - turnBegan < turnMs) continue;
        await new Promise((resolve) => setTimeout(resolve));
        turnBegan = performance.now();
      }
    } catch (error) {
      if (signal.aborted) return;
      if (isWeirError(error, 'AUTH_REQUIRED')) return tokenNeeded(error.detail);
      if (isWeirError(error) && error.status >= 400 && error.status < 500) return heard.failed(error);
      setConnection('reconnecting');
    }
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}
