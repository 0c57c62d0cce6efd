/**
 * The assignors by name: what a group may ask for, and what it gets. Callers need to import nothing else of this folder.
 */
import { ServiceError } from '../../service-error.ts';
import type { Assignor } from './assignment.ts';
import { range } from './range.ts';
import { roundRobin } from './roundrobin.ts';
import { uniform } from './uniform.ts';

export {
  type Assignment,
  type Assignor,
  type AssignorInput,
  type AssignorMember,
  fromTopicPartitions,
  type TopicPartitions,
  toTopicPartitions,
} from './assignment.ts';

const assignors: ReadonlyMap<string, Assignor> = new Map([
  ['uniform', uniform],
  ['range', range],
  ['roundrobin', roundRobin],
]);

/** The names that a member may ask for. */
export const assignorNames: readonly string[] = [...assignors.keys()];

/** What a group uses if no member asks for anything, as in Kafka. */
export const defaultAssignor = 'uniform';

/** The assignor of this name. Throws UNSUPPORTED_ASSIGNOR, with the known names in the field `supported`. */
export function assignorNamed(name: string): Assignor {
  const assignor = assignors.get(name);
  if (assignor) return assignor;
  throw new ServiceError(
    'UNSUPPORTED_ASSIGNOR',
    `There is no assignor '${name}'; the assignors are ${assignorNames.join(', ')}.`,
    { supported: assignorNames },
  );
}
