// /console/: a web page that shows the cluster and changes it, as far as the API lets its user. Its files are public, as they say
// nothing about the cluster; what it shows comes from the API.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Config } from '../../config/config.ts';
import { consoleFolder } from '../../config/package.ts';
import { memoized } from '../memoized.ts';
import { readStaticFiles, type StaticFile, sendStaticFile, staticPage } from '../static-files.ts';

const notBuilt = 'The console is not built. `npm run build` builds it, and `npm start` does so by itself.\n';
const pageName = 'index.html';
/** What stands in the page for how the server is set up. */
const modePlaceholder = '%CONSOLE_MODE%';

/** @param folder where the built console is */
export async function consoleRoutes(
  app: FastifyInstance,
  { mode, folder = consoleFolder }: { mode: Config['console']; folder?: string },
): Promise<void> {
  if (mode === 'off') return;
  const files = memoized(() => readConsole(folder, mode));
  const config = { access: 'open', admission: 'always', timeLimit: 'none' } as const;

  app.get('/console', { config, schema: { hide: true } }, async (_request, reply) => reply.redirect('/console/', 308));

  app.get('/console/*', { config, schema: { hide: true } }, async (request, reply) => {
    const found = await files();
    if (!found) return reply.code(503).type('text/plain; charset=utf-8').send(notBuilt);
    const name = (request.params as { '*': string })['*'];
    const file = found.get(name);
    if (!file) return reply.callNotFound();
    if (name === '') reply.header('content-security-policy', policyOf(request));
    return sendStaticFile(request, reply, file);
  });
}

/** The files of the console by their paths below /console/, the page itself as `''`; undefined if it was not built. */
async function readConsole(
  folder: string,
  mode: 'on' | 'read-only',
): Promise<ReadonlyMap<string, StaticFile> | undefined> {
  const files = await readStaticFiles(folder);
  const page = files?.get(pageName);
  if (!files || !page) return undefined;
  files.delete(pageName);
  return files.set('', staticPage(page.bodies.identity.toString().replace(modePlaceholder, mode)));
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
