// /console/: a web page that shows the cluster and changes it, as far as the API lets its user. Its files are public, as they say
// nothing about the cluster; what it shows comes from the API.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import Negotiator from 'negotiator';
import type { Config } from '../../config/config.ts';
import { consoleFolder } from '../../config/package.ts';
import { type ContentEncoding, readConsoleFiles } from '../console/console-files.ts';
import { memoized } from '../memoized.ts';

/** The smallest first: a browser that takes several likes them all. */
const encodings: ContentEncoding[] = ['br', 'gzip', 'identity'];
const notBuilt = 'The console is not built. `npm run build` builds it, and `npm start` does so by itself.\n';

/** @param folder where the built console is */
export async function consoleRoutes(
  app: FastifyInstance,
  { mode, folder = consoleFolder }: { mode: Config['console']; folder?: string },
): Promise<void> {
  if (mode === 'off') return;
  const files = memoized(() => readConsoleFiles(folder, mode));
  const config = { access: 'open', admission: 'always', timeLimit: 'none' } as const;

  app.get('/console', { config, schema: { hide: true } }, async (_request, reply) => reply.redirect('/console/', 308));

  app.get('/console/*', { config, schema: { hide: true } }, async (request, reply) => {
    const found = await files();
    if (!found) return reply.code(503).type('text/plain; charset=utf-8').send(notBuilt);
    const name = (request.params as { '*': string })['*'];
    const file = found.get(name);
    if (!file) return reply.callNotFound();
    reply.header('vary', 'accept-encoding').header('etag', file.etag);
    reply.header('cache-control', file.isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache');
    reply.header('cross-origin-resource-policy', 'same-origin').header('referrer-policy', 'no-referrer');
    if (name === '') reply.header('content-security-policy', policyOf(request));
    return isCurrent(request, file.etag) ? reply.code(304).send() : sendFile(request, reply, file);
  });
}

function sendFile(
  request: FastifyRequest,
  reply: FastifyReply,
  { contentType, bodies }: { contentType: string; bodies: Record<ContentEncoding, Buffer> },
) {
  const accepted = new Negotiator(request.raw).encodings([...encodings]);
  const encoding = encodings.find((each) => accepted.includes(each)) ?? 'identity';
  if (encoding !== 'identity') reply.header('content-encoding', encoding);
  return reply.type(contentType).send(bodies[encoding]);
}

function isCurrent({ headers }: FastifyRequest, etag: string): boolean {
  const known = headers['if-none-match'];
  return known?.split(',').some((each) => each.trim().replace(/^W\//, '') === etag) ?? false;
}

/**
 * The page runs its own script files and nothing else, and talks to its own server only. The socket is named as well, as not every
 * browser takes `'self'` for it; a Host that is none is left out.
 */
function policyOf({ headers: { host = '' } }: FastifyRequest): string {
  const sockets = /^[\w.:[\]-]+$/.test(host) ? ` ws://${host} wss://${host}` : '';
  return (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
    `connect-src 'self'${sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'`
  );
}
