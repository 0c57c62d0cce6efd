// The records that a query finds, page by page: each a search of the server, which says how much it has looked at.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { jsonLines } from '../live/json-lines.ts';
import { type RecordQuery, searchPath } from './record-query.ts';
import { type RecordRow, rowOf } from './record-row.ts';
import type { PlacedRecord } from './record-view.ts';

/** What a search has looked at. */
export interface SearchProgress {
  records: number;
  bytes: number;
  found: number;
}

type Line = { progress: SearchProgress } | { end: SearchProgress & { next?: string } } | PlacedRecord;

export interface FoundRecords {
  rows: readonly RecordRow[];
  error: unknown;
  isSearching: boolean;
  /** Of all pages. */
  looked: SearchProgress;
  /** Where the next page begins; undefined if there is nothing more. */
  next: string | undefined;
  /** Searches on. */
  more: () => void;
  reload: () => void;
}

const pageMax = 100;
/** Older pages stay, up to this; a filter finds what is beyond. */
export const foundMax = 5000;
const nothingLooked: SearchProgress = { records: 0, bytes: 0, found: 0 };

interface State {
  rows: readonly RecordRow[];
  error: unknown;
  isSearching: boolean;
  looked: SearchProgress;
  next: string | undefined;
}

const initial: State = { rows: [], error: undefined, isSearching: true, looked: nothingLooked, next: undefined };

/** @param query undefined: nothing is searched yet, as something is missing */
export function useRecords(topic: string, query: RecordQuery | undefined): FoundRecords {
  const [state, setState] = useState<State>(initial);
  const [round, setRound] = useState(0);
  const current = useRef<AbortController | undefined>(undefined);
  const key = JSON.stringify([topic, query, round]);
  const search = useCallback(
    async (next: string | undefined, before: State) => {
      current.current?.abort();
      const own = new AbortController();
      current.current = own;
      if (!query) return setState({ ...initial, isSearching: false });
      setState({ ...before, isSearching: true, error: undefined });
      const found: RecordRow[] = [];
      let { looked } = before;
      try {
        const path = searchPath(topic, query, pageMax, next);
        for await (const line of jsonLines<Line>(path, own.signal)) {
          if ('offset' in line) found.push(rowOf(line));
          else if ('progress' in line) {
            looked = plus(before.looked, line.progress);
            const rows = [...before.rows, ...found];
            setState({ rows, error: undefined, isSearching: true, looked, next: undefined });
          } else {
            const rows = [...before.rows, ...found];
            const isFull = rows.length >= foundMax;
            setState({
              rows,
              error: undefined,
              isSearching: false,
              looked: plus(before.looked, line.end),
              next: isFull ? undefined : line.end.next,
            });
          }
        }
      } catch (error) {
        if (own.signal.aborted) return;
        setState({ ...before, rows: [...before.rows, ...found], looked, isSearching: false, error });
      }
    },
    [key],
  );
  useEffect(() => {
    void search(undefined, initial);
    return () => current.current?.abort();
  }, [search]);
  const latest = useRef(state);
  latest.current = state;
  return {
    ...state,
    more: useCallback(() => {
      const { isSearching, next } = latest.current;
      if (!isSearching && next !== undefined) void search(next, latest.current);
    }, [search]),
    reload: useCallback(() => setRound((number) => number + 1), []),
  };
}

function plus(a: SearchProgress, b: SearchProgress): SearchProgress {
  return { records: a.records + b.records, bytes: a.bytes + b.bytes, found: a.found + b.found };
}
