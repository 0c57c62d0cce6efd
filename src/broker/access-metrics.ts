// The metrics of access control: the policy, its refusals, and what identities use of their limits.
import type { AccessControl } from '../access/access-control.ts';
import type { Metrics } from './metrics.ts';

/** The identities whose use of their limits the metrics show. */
const limitedIdentitiesMax = 100;

export function countAccess(access: AccessControl, metrics: Metrics): void {
  const denied = metrics.counter('access_denied_total', 'Requests refused by the policy, by identity and verb.', [
    'identity',
    'verb',
  ]);
  metrics.gauges('access_policy_info', 'The policy in use, by its hash; always 1.', ['hash'], () =>
    access.policy ? [{ labels: { hash: access.policy.hash }, value: 1 }] : [],
  );
  access.onDenied((identity, verb) => denied.inc({ identity, verb }));
  countLimits(access, metrics);
  const errorsHelp = 'Changes of the policy file that could not be used.';
  metrics.counters('access_policy_errors_total', errorsHelp, [], () => [{ labels: {}, value: access.errors }]);
  metrics.gauge(
    'access_policy_loaded_timestamp_seconds',
    'When the policy in use was read, in seconds since 1970; 0 without a policy.',
    () => access.loadedAt / 1000,
  );
}

function countLimits(access: AccessControl, metrics: Metrics): void {
  const refused = metrics.counter(
    'access_limited_total',
    'Requests refused or delayed by a limit of their identity, by identity and limit.',
    ['identity', 'limit'],
  );
  access.accounts.onRefused((identity, limit) => refused.inc({ identity: access.labelOf(identity), limit }));
  const usage = (of: 'limit' | 'used') => () =>
    [...access.accounts.all]
      // Users of an issuer may be any number.
      .filter(({ identity }) => access.labelOf(identity) === identity)
      .slice(0, limitedIdentitiesMax)
      .flatMap((account) =>
        Object.entries(account.usage()).map(([limit, value]) => ({
          labels: { identity: account.identity, limit },
          value: value[of],
        })),
      );
  const labels: ('identity' | 'limit')[] = ['identity', 'limit'];
  metrics.gauges(
    'access_limit_used',
    'What identities use of their limits; of rates, in this second.',
    labels,
    usage('used'),
  );
  metrics.gauges('access_limit', 'The limits of identities that have used them.', labels, usage('limit'));
}
