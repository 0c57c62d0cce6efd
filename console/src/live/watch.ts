// Watches that last as long as what shows them: they stop while nobody looks, go on from where they were, and say so when that is too
// long ago.
import { effect } from '@preact/signals';
import { isWeirError, type WatchOptions, type WatchTransaction } from '@weirkeeper/client';
import { useEffect, useRef } from 'preact/hooks';
import { isActive, setConnection, tokenNeeded, watchClient } from './session.ts';

export interface WatchHandlers {
  transaction(transaction: WatchTransaction): void;
  /** The watch has begun, or changes were missed: read what is shown now. */
  resync(): void;
  /** It ends, as the user may not watch this, say. */
  failed?(error: unknown): void;
}

/** A longer absence is not replayed: reading anew is faster. */
const replayMsMax = 60_000;
const retryMs = 1000;

/** Follows the changes of a path. @returns ends it */
export function followPath(path: string, options: Pick<WatchOptions, 'mode' | 'data'>, handlers: WatchHandlers) {
  let since: number | undefined;
  let leftAt = 0;
  return effect(() => {
    if (!isActive.value) return undefined;
    if (Date.now() - leftAt > replayMsMax) since = undefined;
    const round = new AbortController();
    void follow(round.signal);
    return () => {
      leftAt = Date.now();
      round.abort();
    };
  });

  async function follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const place = since === undefined ? {} : { since };
        const watch = watchClient().watch(path, { ...options, ...place, onCompacted: 'resync', signal });
        since = await watch.started.then((zxid) => since ?? zxid);
        setConnection('live');
        if (!('since' in place)) handlers.resync();
        for await (const transaction of watch) {
          since = transaction.zxid;
          if (transaction.resync) handlers.resync();
          else handlers.transaction(transaction);
        }
        since = watch.zxid ?? since;
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (isWeirError(error, 'AUTH_REQUIRED')) return tokenNeeded(error.detail);
        if (isWeirError(error) && error.status >= 400 && error.status < 500) return handlers.failed?.(error);
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  }
}

/** Follows a path while the component is shown. The handlers may change; path and mode begin a new watch. */
export function useWatch(path: string, mode: NonNullable<WatchOptions['mode']>, handlers: WatchHandlers): void {
  const latest = useRef(handlers);
  latest.current = handlers;
  useEffect(
    () =>
      followPath(
        path,
        { mode },
        {
          transaction: (transaction) => latest.current.transaction(transaction),
          resync: () => latest.current.resync(),
          failed: (error) => latest.current.failed?.(error),
        },
      ),
    [path, mode],
  );
}
