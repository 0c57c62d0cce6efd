// Refuses requests whose Host header does not name this server. A page of another site can let its own name resolve to the address of
// this server (DNS rebinding). The browser then treats the server as the page's own origin, and only Host shows the difference. Accepted
// are the names of the loopback and of the machine, the advertised name, the configured names, and every IP address.
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Logger } from 'pino';
import type { Metrics } from '../../broker/metrics.ts';
import { recentlyUsed } from '../../core/recently-used.ts';
import { ServiceError } from '../../core/service-error.ts';
import { createOnceLog } from '../log-once.ts';

interface HostNames {
  /** The name of the machine, or of the container. */
  machine: string;
  advertisedUrl?: string | undefined;
  /** Configured names; `*` accepts all, and a name with a leading dot accepts all names below it. */
  allowed: readonly string[];
}

/** How many accepted Host headers are cached. */
const rememberedMax = 1000;
interface HostCheckOptions {
  names: HostNames;
  metrics: Metrics;
  log: Logger;
}

async function installHostCheck(app: FastifyInstance, { names, metrics, log }: HostCheckOptions): Promise<void> {
  const takesAll = names.allowed.includes('*');
  const allowed = names.allowed.map((name) => name.toLowerCase());
  const good = new Set([...allowed, names.machine.toLowerCase()]);
  if (names.advertisedUrl !== undefined) good.add(new URL(names.advertisedUrl).hostname);
  const suffixes = allowed.filter((name) => name.startsWith('.'));
  const isGood = (name: string) =>
    isIP(name) > 0 || isLoopback(name) || good.has(name) || suffixes.some((suffix) => name.endsWith(suffix));
  const remembered = recentlyUsed<true>(rememberedMax);
  const refused = metrics.counter('hosts_refused_total', 'Requests refused because Host does not name this server.');
  const logOnce = createOnceLog(
    log,
    'host',
    'Requests refused: Host does not name this server. Add it to WEIR_ALLOWED_HOSTS to accept it',
  );

  app.addHook('onRequest', (request, _reply, done) => {
    takeHostOfTarget(request.raw);
    const { host } = request.headers;
    // Without Host, this is HTTP/1.0: request-head.ts refuses other requests without it.
    if (takesAll || host === undefined || remembered.get(host)) return done();
    const name = nameIn(host);
    if (name === undefined) {
      const detail = `Host is ${JSON.stringify(host)}; it must be a name or an address, with a port if the URL has one.`;
      return done(new ServiceError('BAD_REQUEST', detail));
    }
    if (isGood(name)) {
      remembered.set(host, true);
      return done();
    }
    if (request.routeConfig.takesAnyHost) return done();
    refused.inc();
    logOnce(name);
    const detail = `The Host header ${host} does not name this server. Set WEIR_ALLOWED_HOSTS=${name} or WEIR_ADVERTISED_URL to accept it.`;
    done(new ServiceError('FORBIDDEN', detail));
  });
}

export const hostCheck = fp(installHostCheck, { name: 'host-check', fastify: '5.x' });

/** A target with a host, as to a proxy, says which host is asked, and Host does not count (RFC 9112, 3.2.2). */
function takeHostOfTarget({ url = '', headers }: IncomingMessage): void {
  if (url.startsWith('/')) return;
  const host = /^https?:\/\/([^/?#]*)/i.exec(url)?.[1];
  if (host !== undefined) headers.host = host;
}

/** The name or address in a Host header, without port and brackets; undefined if it is malformed. */
function nameIn(host: string): string | undefined {
  const url = `http://${host}/`;
  if (/[/\\?#@]/.test(host)) return undefined;
  // A trailing dot only marks a fully qualified name.
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$|\.$/g, '') : undefined;
}

function isLoopback(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || /^127(\.\d+){3}$/.test(name);
}
