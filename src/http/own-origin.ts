// Whether a request comes from a page of this server itself, as the headers say that a browser adds to it.
import type { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';

/** Whether an origin is that under which the server was asked. Behind a proxy only the host is known; by TLS it must be https. */
export function isOwnOrigin({ headers, raw }: FastifyRequest, origin: string): boolean {
  if (!URL.canParse(origin)) return false;
  const { host, protocol } = new URL(origin);
  const isEncrypted = (raw.socket as Partial<TLSSocket>).encrypted === true;
  return host === headers.host?.toLowerCase() && (!isEncrypted || protocol === 'https:');
}

/** Values of Sec-Fetch-Site that are not a page of another origin; `none` is an action of the user, such as a bookmark. */
export const ownSites = new Set(['same-origin', 'none']);

/** Whether a browser sends a request for a page of another origin. Other programs send neither header. */
export function isFromOtherSite(request: FastifyRequest): boolean {
  const { origin, 'sec-fetch-site': site } = request.headers;
  if (origin !== undefined) return !isOwnOrigin(request, origin);
  return site !== undefined && !ownSites.has(String(site));
}
