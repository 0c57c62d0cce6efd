// What a page reads: loaded when it is shown, and again at intervals, while somebody looks.
import { effect } from '@preact/signals';
import { isWeirError } from '@weirkeeper/client';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { isReachable, tokenNeeded } from './session.ts';

export interface Resource<T> {
  /** What was read last; it stays while it is read again, and when that fails. */
  data: T | undefined;
  error: unknown;
  isLoading: boolean;
  reload(): void;
}

/**
 * Reads something for a component.
 * @param key what is read; another one begins anew
 * @param everyMs how long after it was read it is read again; without it, on `reload` and after a lost connection only
 */
export function useResource<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<T>,
  { everyMs }: { everyMs?: number } = {},
): Resource<T> {
  const [state, setState] = useState<{ key: string; data: T | undefined; error: unknown; isLoading: boolean }>({
    key,
    data: undefined,
    error: undefined,
    isLoading: true,
  });
  const latest = useRef(load);
  latest.current = load;
  const reload = useRef<() => void>(() => {});

  useEffect(() => {
    let round: AbortController | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = async () => {
      clearTimeout(timer);
      round?.abort();
      const own = new AbortController();
      round = own;
      setState((old) =>
        old.key === key ? { ...old, isLoading: true } : { key, data: undefined, error: undefined, isLoading: true },
      );
      try {
        const data = await latest.current(own.signal);
        if (!own.signal.aborted) setState({ key, data, error: undefined, isLoading: false });
      } catch (error) {
        if (own.signal.aborted) return;
        // The token has expired, or was revoked: without another one nothing can be read.
        if (isWeirError(error, 'AUTH_REQUIRED')) return tokenNeeded(error.detail);
        setState((old) => ({ ...old, key, error, isLoading: false }));
      }
      if (everyMs !== undefined && !own.signal.aborted) timer = setTimeout(() => void read(), everyMs);
    };
    reload.current = () => void read();
    const end = effect(() => {
      // A connection that is back may have missed something.
      if (!isReachable.value) return undefined;
      void read();
      return () => {
        clearTimeout(timer);
      };
    });
    return () => {
      end();
      clearTimeout(timer);
      round?.abort();
    };
  }, [key, everyMs]);

  const { data, error, isLoading } = state.key === key ? state : { data: undefined, error: undefined, isLoading: true };
  return { data, error, isLoading, reload: useCallback(() => reload.current(), []) };
}
