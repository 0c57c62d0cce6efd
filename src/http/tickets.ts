// Tickets of event streams. A browser's EventSource sets no headers, so its credential is in the URL: `?ticket=`. It is taken out of the
// URL before anything else sees that, so that it reaches no log, no error and no fingerprint.
import type { EventEmitter } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';

const tickets = new WeakMap<IncomingMessage, string>();
const parameter = 'ticket=';

/**
 * Takes the tickets out of the URLs of all requests. To be called before any other listener reads a URL.
 * @param webSockets emits `upgrade` for the handshakes of WebSockets
 */
export function takeTickets(server: Server, webSockets: EventEmitter): void {
  server.prependListener('request', takeTicket);
  webSockets.prependListener('upgrade', takeTicket);
}

function takeTicket(request: IncomingMessage): void {
  const { url = '' } = request;
  const at = url.indexOf('?');
  if (at < 0 || !url.includes(parameter, at)) return;
  const parts = url.slice(at + 1).split('&');
  const kept = parts.filter((part) => !part.startsWith(parameter));
  const ticket = parts.find((part) => part.startsWith(parameter));
  if (ticket === undefined) return;
  tickets.set(request, ticket.slice(parameter.length));
  request.url = kept.length > 0 ? `${url.slice(0, at)}?${kept.join('&')}` : url.slice(0, at);
}

/** The ticket that was in the URL of a request; undefined if there was none. */
export function ticketIn(request: IncomingMessage): string | undefined {
  return tickets.get(request);
}

/** The URL of an event stream with its ticket. @param target its path and query */
export function urlWithTicket(target: string, ticket: string): string {
  return `${target}${target.includes('?') ? '&' : '?'}${parameter}${ticket}`;
}
