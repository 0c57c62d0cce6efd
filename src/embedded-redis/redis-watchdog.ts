/**
 * Ends the private Redis after its server was killed, unless another server takes it over in time. Otherwise it would occupy
 * memory and the data directory without limit. The watchdog is a separate process, a short shell script, as nothing in the
 * server survives kill -9. It ends Redis with SIGTERM, which syncs all data. A server that starts at that moment restarts Redis.
 */
import { spawn } from 'node:child_process';
import type { ProcessIdentity } from './process-lock.ts';

interface RedisWatchdogOptions {
  /** The lock of the data directory. Another id in it means that another server has taken over, with its own watchdog. */
  lock: { file: string; id: string };
  server: ProcessIdentity;
  redis: ProcessIdentity;
  /** How long Redis keeps running without a server, ms. */
  orphanTimeoutMs: number;
}

/** Number of checks within that time. As checks are counted, time in which the machine slept does not count. */
const checks = 30;

/** start_of prints the start time of a living process as process-lock.ts reads it. */
const script = `
lock=$1 id=$2 server=$3 server_start=$4 redis=$5 redis_start=$6 checks=$7 pause=$8
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
left=$checks
while sleep "$pause"; do
  [ "$(start_of "$redis")" = "$redis_start" ] || exit 0
  if [ -e "$lock" ] && ! grep -qF "$id" "$lock"; then exit 0; fi
  if [ "$(start_of "$server")" = "$server_start" ]; then
    left=$checks
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
    // It must survive the server, also when a terminal ends all of its processes.
    detached: true,
    stdio: 'ignore',
  });
  // Without a shell there is no watchdog. The next server then takes over or ends Redis.
  watchdog.on('error', () => undefined);
  watchdog.unref();
}
