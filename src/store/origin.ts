// The sender of requests that must take effect in the order in which it sent them.
import { ServiceError } from '../core/service-error.ts';

/** A sender of ordered requests, such as a socket. Requests of one origin reach the store in the order of their calls. */
export interface Origin {
  /**
   * Whether nothing more of it may be carried out, as it is closed or the fate of one of its requests is unknown. Requests that
   * were not sent to the store yet are then dropped.
   */
  readonly isDead: boolean;
}

/** The failure of a request that was dropped, as its origin is dead. No client gets it, as there is no connection to it. */
export function droppedError(): ServiceError {
  return new ServiceError(
    'STORE_UNAVAILABLE',
    'The connection of this request has ended, so it was not sent to the store; nothing was done.',
  );
}
