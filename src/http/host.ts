// Under which names the service may be asked. A page of another site can have its own name resolve to the loopback ("DNS
// rebinding"): to the browser the service is then that page's own origin, and only the name in Host tells. So a server that
// listens on the loopback answers to the loopback's names, to its advertised one and to those that are configured. An address says
// nothing of a name, and is always good.
import { isIP } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { ServiceError } from '../core/service-error.ts';

export interface HostNames {
  /** Where the server listens. */
  listensOn: string;
  advertisedUrl?: string | undefined;
  /** Configured names; if there are any they count wherever the server listens. */
  allowed: readonly string[];
}

/** Host headers that were found good are remembered, up to so many. */
const rememberedMax = 1000;

export function installHostCheck(app: FastifyInstance, names: HostNames): void {
  const takesAll = names.allowed.includes('*') || (!isLoopback(names.listensOn) && names.allowed.length === 0);
  const good = new Set(names.allowed.map((name) => name.toLowerCase()));
  if (names.advertisedUrl !== undefined) good.add(new URL(names.advertisedUrl).hostname);
  const remembered = new Set<string>();

  app.addHook('onRequest', (request, _reply, done) => {
    const { host } = request.headers;
    if (takesAll || host === undefined || remembered.has(host)) return done();
    const name = nameIn(host);
    if (name === undefined) {
      const detail = `Host is ${JSON.stringify(host)}; it must be a name or an address, with its port if there is one.`;
      return done(new ServiceError('BAD_REQUEST', detail));
    }
    if (isIP(name) > 0 || isLoopback(name) || good.has(name)) {
      if (remembered.size < rememberedMax) remembered.add(host);
      return done();
    }
    const detail = `${host} is no name of this server; WEIR_ALLOWED_HOSTS can allow it, and WEIR_ADVERTISED_URL does.`;
    done(new ServiceError('FORBIDDEN', detail));
  });
}

/** The name or address in a Host header, without its port and brackets; undefined if it is none. */
function nameIn(host: string): string | undefined {
  const url = `http://${host}/`;
  if (/[/\\?#@]/.test(host)) return undefined;
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : undefined;
}

function isLoopback(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || /^127(\.\d+){3}$/.test(name);
}
