// Repeats a read and the transaction that depends on it when another transaction has changed what was read.
import { hasCode, ServiceError } from '../core/service-error.ts';

/** How often a change is tried at most. */
const attemptsMax = 10;
/** The codes with which an operation of a transaction fails when what it was based on has changed. */
const conflicts = ['BAD_VERSION', 'NO_NODE', 'NODE_EXISTS', 'NOT_EMPTY'] as const;

/**
 * Runs `change`, and runs it again when its transaction conflicts with another one.
 * @param change reads, decides and writes
 * @param except a code that is a result, not a conflict
 * @returns what `change` returns
 * @throws what `change` throws; after 10 attempts also the conflict
 */
export async function retryOnConflict<T>(change: () => Promise<T>, except?: 'NODE_EXISTS'): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await change();
    } catch (error) {
      // Only a transaction says which of its operations failed.
      const inTransaction = error instanceof ServiceError && error.fields.failed !== undefined;
      const isConflict = conflicts.some((code) => hasCode(error, code));
      if (!inTransaction || !isConflict || (except && hasCode(error, except)) || attempt === attemptsMax) throw error;
    }
  }
}
