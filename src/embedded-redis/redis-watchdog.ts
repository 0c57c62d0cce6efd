/**
 * Ends the private Redis when its server was killed and no other one has taken over for a while; it would hold memory, and the
 * data directory, for ever. The watchdog is a shell of a few lines, a process of its own, as nothing in the server outlives
 * kill -9. It ends Redis by SIGTERM, which syncs all data; a server that starts at that very moment starts Redis again.
 */
import { spawn } from 'node:child_process';
import type { ProcessIdentity } from './process-lock.ts';

export interface RedisWatchdogOptions {
  /** The lock of the data directory: another id in it means that another server has taken over, with a watchdog of its own. */
  lock: { file: string; id: string };
  server: ProcessIdentity;
  redis: ProcessIdentity;
  /** How long Redis lives on without a server. */
  orphanTimeoutMs: number;
}

/** It looks so often within that time: time that the whole machine slept must not count as one long look. */
const checks = 30;

/** start_of prints the start time of a living process as process-lock.ts reads it. */
const script = `
lock=$1 id=$2 server=$3 server_start=$4 redis=$5 redis_start=$6 looks=$7 pause=$8
start_of() {
  if [ -r /proc/self/stat ]; then
    read -r line < "/proc/$1/stat" || return
    line=\${line##*) }
    set -- $line
    case $1 in Z | X) return ;; esac
    shift 19
    echo "$1"
  else
    ps -o lstart= -p "$1"
  fi
}
left=$looks
while sleep "$pause"; do
  [ "$(start_of "$redis")" = "$redis_start" ] || exit 0
  if [ -e "$lock" ] && ! grep -qF "$id" "$lock"; then exit 0; fi
  if [ "$(start_of "$server")" = "$server_start" ]; then
    left=$looks
  else
    left=$((left - 1))
    if [ "$left" -le 0 ]; then
      kill -TERM "$redis"
      exit 0
    fi
  fi
done
`;

export function startRedisWatchdog({ lock, server, redis, orphanTimeoutMs }: RedisWatchdogOptions): void {
  const pauseSeconds = (orphanTimeoutMs / checks / 1000).toFixed(3);
  const args = [lock.file, lock.id, server.pid, server.startTime, redis.pid, redis.startTime, checks, pauseSeconds];
  const watchdog = spawn('/bin/sh', ['-c', script, 'weir-redis-watchdog', ...args.map(String)], {
    cwd: '/',
    env: { PATH: '/usr/local/bin:/usr/bin:/bin' },
    // It must outlive the server, also when a terminal ends all of its processes.
    detached: true,
    stdio: 'ignore',
  });
  // Without a shell there is none, and Redis is taken over or ended by the next server.
  watchdog.on('error', () => undefined);
  watchdog.unref();
}
