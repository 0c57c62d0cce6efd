// What the list of groups and the page of one share.
import type { Group } from '@weirkeeper/client';
import { ValueHistory } from '../live/value-history.ts';
import { Badge, type Kind } from '../ui/parts.tsx';

/** The last lags of each group that the page has seen. */
export const lagHistory = new ValueHistory({ pointsMax: 120, keysMax: 5000 });

const states: Record<Group['state'], { kind: Kind; about: string }> = {
  stable: { kind: 'good', about: 'Every member has the partitions that it shall have.' },
  reconciling: { kind: 'warn', about: 'Members give up partitions, or wait for those that others give up.' },
  assigning: { kind: 'warn', about: 'The partitions are being distributed anew.' },
  empty: { kind: 'plain', about: 'The group has no members. What it has committed is kept.' },
};

export function StateBadge({ state }: { state: Group['state'] }) {
  const { kind, about } = states[state];
  return (
    <span title={about}>
      <Badge kind={kind}>{state}</Badge>
    </span>
  );
}
