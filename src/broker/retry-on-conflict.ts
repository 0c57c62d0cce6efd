// Transactions on the tree that stand on what was read before: when another change came in between, they are done again over
// what is there now.
import { hasCode, ServiceError } from '../core/service-error.ts';

/** How often a change is tried again that another one got in the way of. */
const attemptsMax = 10;
/** How one of its operations fails when another change came in between. */
const conflicts = ['BAD_VERSION', 'NO_NODE', 'NODE_EXISTS', 'NOT_EMPTY'] as const;

/**
 * Does `change` again while other changes come in between.
 * @param notFor a code that is the answer, not a collision
 */
export async function retryOnConflict<T>(change: () => Promise<T>, notFor?: 'NODE_EXISTS'): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await change();
    } catch (error) {
      // Only a transaction says which of its operations failed.
      const inTransaction = error instanceof ServiceError && error.fields.failed !== undefined;
      const collided = conflicts.some((code) => hasCode(error, code));
      if (!inTransaction || !collided || (notFor && hasCode(error, notFor)) || attempt === attemptsMax) throw error;
    }
  }
}
