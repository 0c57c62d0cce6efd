// A process that runs one server: it starts the server, and stops it in order after a signal, an unexpected error, or when the
// server itself has a reason to end.
import { setTimeout as sleep } from 'node:timers/promises';
import closeWithGrace from 'close-with-grace';
import type { Logger } from 'pino';
import type { Limits } from './app.ts';
import type { Config } from './config/config.ts';
import { type Server, type StartOptions, startServer } from './server.ts';
import { drainsOn, reloadsOnHangup } from './server-stop.ts';
import type { ServerStore } from './server-store.ts';

export interface ServerProcessOptions {
  config: Config;
  store: ServerStore;
  log: Logger;
  limits?: Partial<Limits>;
  start?: StartOptions;
  /** Signals that another process acts on, which then stops this one. */
  leftSignals?: ('SIGINT' | 'SIGHUP' | 'SIGQUIT')[];
  /** How long a stop may take, ms. */
  stopMsMax: number;
  /** Called when the server has to end for a reason of its own, before it stops. Default: logs it. */
  onFailure?(text: string): void;
}

export interface ServerProcess {
  /** Resolves when the server serves; with undefined if it was told to stop before. Rejects with the reason of a failed start. */
  readonly serving: Promise<Server | undefined>;
  /** Reads the policy and the TLS files again. */
  reload(): void;
  /** Stops the server and ends the process. @param drains whether it serves on for WEIR_DRAIN_DELAY first */
  stop(drains: boolean): void;
}

/** Runs a server in this process, which ends with it: with code 0 after it was told to stop, with 1 after a failure. */
export function runServer(options: ServerProcessOptions): ServerProcess {
  const { config, store, log, leftSignals = [] } = options;
  const start = new AbortController();
  const starting = startServer(config, store.target, log, options.limits, {
    ...store.start,
    ...options.start,
    signal: start.signal,
  });
  const reload = () => {
    log.info('The files of the server are read again, as it was told to');
    // A start that has failed tells so by itself.
    void starting.then((server) => server.reload()).catch(() => undefined);
  };
  const reloads = reloadsOnHangup(config) && !leftSignals.includes('SIGHUP');
  if (reloads) process.on('SIGHUP', reload);
  let isServing = false;
  let isStopping = false;
  let drains: boolean | undefined;
  let failure: Error | undefined;
  const stopping = closeWithGrace(
    { delay: options.stopMsMax, logger: false, skip: [...leftSignals, ...(reloads ? (['SIGHUP'] as const) : [])] },
    async ({ err, signal }) => {
      isStopping = true;
      if (err) log.fatal({ err }, 'Weirkeeper is stopping after an unexpected error');
      else if (!failure) log.info({ signal }, 'Weirkeeper is stopping');
      start.abort(new Error('The server was told to stop.'));
      // Do not wait for a start that still installs or loads the private Redis: stop it.
      if (!isServing) await store.stop();
      const server = await starting.catch(() => undefined);
      await server?.close((drains ?? drainsOn(signal, config)) ? () => sleep(config.drainDelayMs) : undefined);
      await store.stop();
      log.info('Weirkeeper has stopped');
      // Exit code 1 shows a supervisor that the stop was a failure.
      if (failure) throw failure;
    },
  );
  const stop = () => {
    if (!isStopping) stopping.close();
  };
  const fail = (reason: Error, text: string) => {
    if (options.onFailure) options.onFailure(text);
    else log.fatal(text);
    failure ??= reason;
    stop();
  };
  const serve = async () => {
    try {
      const server = await starting;
      isServing = true;
      watchForReasonsToEnd(server, fail);
      return server;
    } catch (error) {
      // A signal interrupted the start; the stop is already in progress.
      if (start.signal.aborted) return undefined;
      stopping.uninstall();
      await store.stop();
      throw error;
    }
  };
  return {
    serving: serve(),
    reload,
    stop: (mayDrain) => {
      drains = mayDrain;
      stop();
    },
  };
}

function watchForReasonsToEnd({ broker }: Server, fail: (reason: Error, text: string) => void): void {
  void broker.registration.displaced.then((reason) =>
    fail(
      reason,
      `${reason.message} Weirkeeper is stopping. Give this server another WEIR_BROKER_ID, or leave it stopped.`,
    ),
  );
  // A newer version of the program has migrated the stored data while this one was running.
  void broker.store.unsupportedLayout.then((reason) => fail(reason, `${reason.message} Weirkeeper is stopping.`));
}
