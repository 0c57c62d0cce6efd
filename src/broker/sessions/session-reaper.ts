// Ends sessions whose time is over. Every broker does it, so any one that is alive suffices (guarantee N5); the script
// decides by the store's clock, so brokers that do it at once do no harm. A broker that hangs is no outage while another one is
// alive, through which clients may renew; the only one is, though the store was there (N6).
import type { Logger } from 'pino';
import type { Sessions } from '../../store/tree/sessions.ts';
import type { Metrics } from '../metrics.ts';
import { PeriodicTask } from '../periodic-task.ts';

const everyMs = 200;
/** Nobody has looked for so long: the service was away, and its sessions get their full time again (guarantee N6). */
const outageMs = 1000;

export function createSessionReaper(sessions: Sessions, metrics: Metrics, log: Logger): PeriodicTask {
  const ended = metrics.counter(
    'sessions_expired_total',
    'Sessions that this broker ended because their time was over.',
  );
  const forgiven = metrics.counter(
    'outages_forgiven_total',
    'Outages after which every session had its full time again, as this broker was the first to find.',
  );
  const late = metrics.histogram('session_expiry_lateness_seconds', 'How long after its deadline a session was ended.');
  return new PeriodicTask(
    'session reaper',
    everyMs,
    async () => {
      for (let more = true; more; ) {
        const result = await sessions.reap(outageMs);
        more = result.more;
        if (result.extended) {
          forgiven.inc();
          log.info('The service was away: every session has its full time again');
        }
        for (const { id, ephemerals, lateMs } of result.ended) {
          ended.inc();
          late.observe(lateMs / 1000);
          log.info({ session: id, ephemerals, lateMs }, 'A session expired');
        }
      }
    },
    log,
  );
}
