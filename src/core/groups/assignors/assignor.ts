/**
 * The assignors by name. Callers need to import only this file of the folder.
 */
import { ServiceError } from '../../service-error.ts';
import type { Assignor } from './assignment.ts';
import { range } from './range.ts';
import { roundRobin } from './roundrobin.ts';
import { uniform } from './uniform.ts';

export {
  type Assignment,
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

/** The names of the assignors that a member can prefer. */
export const assignorNames: readonly string[] = [...assignors.keys()];

/** The assignor of a group in which no member prefers one; the same as in Kafka. */
export const defaultAssignor = 'uniform';

/** Returns the assignor with this name. @throws ServiceError UNSUPPORTED_ASSIGNOR with the known names in the field `supported` */
export function assignorNamed(name: string): Assignor {
  const assignor = assignors.get(name);
  if (assignor) return assignor;
  throw new ServiceError(
    'UNSUPPORTED_ASSIGNOR',
    `There is no assignor '${name}'; the assignors are ${assignorNames.join(', ')}.`,
    { supported: assignorNames },
  );
}
