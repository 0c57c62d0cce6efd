// Ends expired sessions. Every broker runs it, so one live broker is enough (guarantee N5); the script decides by the store's
// clock, so several at once do no harm. If no broker has run it, nor written to the tree, for longer than a second, clients could not
// renew either: that is an outage, and the script extends all deadlines (N6). While another broker runs, one that hangs is no outage.
import type { Logger } from 'pino';
import type { Sessions } from '../../store/tree/sessions.ts';
import { ClientEventsLog } from '../client-events-log.ts';
import type { Metrics } from '../metrics.ts';
import { PeriodicTask } from '../periodic-task.ts';

const everyMs = 200;
/** If no broker has looked for expired sessions or written to the tree for this long, it was an outage (guarantee N6). lua/lib/txn.lua has it, too. */
const outageMs = 1000;

/** @param onTimersDue called while a timer of a group is due, which the same call to the store finds out */
export function createSessionReaper(
  sessions: Sessions,
  metrics: Metrics,
  log: Logger,
  onTimersDue: () => void = () => {},
): PeriodicTask {
  const ended = metrics.counter('sessions_expired_total', 'Expired sessions that this broker ended.');
  const extensions = metrics.counter(
    'outage_extensions_total',
    'Outages that this broker was the first to detect; all session deadlines were extended.',
  );
  const late = metrics.histogram('session_expiry_lateness_seconds', 'Time from the deadline of a session to its end.');
  const events = new ClientEventsLog(log);
  return new PeriodicTask(
    'session reaper',
    everyMs,
    async () => {
      for (let more = true; more; ) {
        const result = await sessions.reap(outageMs);
        more = result.more;
        if (result.timersDue) onTimersDue();
        if (result.extended) {
          extensions.inc();
          log.info('Outage detected: all session deadlines extended');
        }
        for (const { id, ephemerals, lateMs } of result.ended) {
          ended.inc();
          late.observe(lateMs / 1000);
          events.info({ session: id, ephemerals, lateMs }, 'A session expired');
        }
      }
    },
    log,
  );
}
