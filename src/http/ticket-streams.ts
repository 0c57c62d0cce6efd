// The event streams that were opened with a ticket: each has its ticket for itself as long as it is open. A newer stream takes it over, as
// a client that has lost its connection comes back before the broker knows.
import { randomBytes } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { DerivedTokens, ParentCredential } from '../access/derived-tokens.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import { ticketKeepEveryMs } from '../store/access/access-tokens.ts';
import { routeOf } from './route-config.ts';
import { ticketIn } from './tickets.ts';

interface Held {
  ticket: string;
  target: string;
  /** A random name of the stream. */
  stream: string;
  credential: ParentCredential;
}

export class TicketStreams {
  readonly #held = new WeakMap<FastifyRequest, Held>();

  /**
   * The credential of a request by its ticket: the first time its stream takes the ticket.
   * @returns undefined if the request has none
   * @throws ServiceError AUTH_REQUIRED, BAD_REQUEST, TOO_MANY_REQUESTS, STORE_UNAVAILABLE
   */
  credentialOf(
    request: FastifyRequest,
    derived: DerivedTokens | undefined,
  ): ParentCredential | Promise<ParentCredential> | undefined {
    const ticket = ticketIn(request.raw);
    if (ticket === undefined || !derived) return undefined;
    return this.#held.get(request)?.credential ?? this.#open(request, ticket, derived);
  }

  async #open(request: FastifyRequest, ticket: string, derived: DerivedTokens): Promise<ParentCredential> {
    if (routeOf(request) !== 'stream' || request.ws) {
      throw new ServiceError(
        'BAD_REQUEST',
        'A ticket opens an event stream (GET /v1/watch/{path}, GET /v1/topics/{topic}/stream). Send Authorization, or with a WebSocket the subprotocol weir.bearer.<token>.',
      );
    }
    const stream = randomBytes(9).toString('base64url');
    const { url: target, clientKey } = request;
    const credential = await derived.openTicket(ticket, target, stream, clientKey);
    this.#held.set(request, { ticket, target, stream, credential });
    return credential;
  }

  /**
   * Keeps the ticket of a stream, if it has one.
   * @param onLost called at most once, when another stream has taken it
   * @returns a function to be called when the stream has ended
   */
  keep(request: FastifyRequest, derived: DerivedTokens | undefined, onLost: (error: unknown) => void): () => void {
    const held = this.#held.get(request);
    if (!held || !derived) return () => undefined;
    const use = (how: 'keep' | 'close') => derived.useTicket(held.ticket, held.target, held.stream, how);
    const timer = setInterval(() => {
      use('keep').catch((error: unknown) => {
        // Without the store it is not known; it is asked again.
        if (!hasCode(error, 'AUTH_REQUIRED')) return;
        clearInterval(timer);
        onLost(error);
      });
    }, ticketKeepEveryMs).unref();
    return () => {
      clearInterval(timer);
      // If this fails, the ticket is good for a little longer.
      use('close').catch(() => undefined);
    };
  }
}
