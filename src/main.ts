#!/usr/bin/env -S node --initial-old-space-size=128
// The program: reads the configuration, and runs the server in this process, or in several workers that this process starts. It
// exits with 0 after SIGTERM or SIGINT, with 2 if an option is wrong, and with 1 after any other failure.
import { newToken } from './access/tokens.ts';
import { type Config, ConfigError, describeConfig, loadConfig, packageVersion } from './config/config.ts';
import { createServerLog } from './logging/server-log.ts';
import { stopMsMax } from './server-stop.ts';
import { openServerStore } from './server-store.ts';

async function main(): Promise<void> {
  const invocation = loadConfig(process.env, process.argv.slice(2));
  if (invocation.kind === 'token') {
    const { token, id, sha256 } = newToken(invocation.id);
    process.stdout.write(
      `${token}\n\nIt is not stored and cannot be shown again. The policy has its hash, below the tokens of an identity:\n\n  - { id: ${id}, sha256: "${sha256}" }\n`,
    );
    return;
  }
  if (invocation.kind !== 'run') {
    process.stdout.write(`${invocation.text}\n`);
    return;
  }
  await serve(invocation.config, invocation.warnings);
}

/** Runs the server. @param warnings what should be repaired, one sentence each */
async function serve(config: Config, warnings: string[]): Promise<void> {
  // Files of this process and its children are readable by this user only.
  process.umask(0o077);
  const serverLog = createServerLog(config);
  const { log } = serverLog;
  log.info({ version: packageVersion(), config: describeConfig(config) }, 'Weirkeeper is starting');
  for (const warning of warnings) log.warn(warning);
  try {
    const store = await openServerStore(config, log);
    // Each is loaded only here: one process needs no workers, and the primary process of workers is no broker.
    if (config.workers > 1) {
      const { runWorkers } = await import('./workers/primary.ts');
      await runWorkers(config, store, serverLog);
      return;
    }
    const { runServer } = await import('./server-process.ts');
    const start = { onLoading: serverLog.showLoading };
    const server = await runServer({ config, store, log, start, stopMsMax: stopMsMax(config) }).serving;
    if (server) serverLog.serves({ url: server.url, redisVersion: server.broker.store.serverVersion });
  } catch (error) {
    serverLog.endStart();
    throw error;
  }
}

try {
  await main();
} catch (error) {
  // Errors of a start are for the operator, and their message has the remedy. A stack trace would hide it.
  process.stderr.write(`weir: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
}
