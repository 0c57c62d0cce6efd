// /openapi.json, and the pages below /docs: the API to read and try, the guide, and the error codes. A server that serves only clients
// needs none of them: they were made when the program was built, and are loaded for the first reader.
import { readFile } from 'node:fs/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { guideFolder } from '../../config/package.ts';
import type { DocsTheme } from '../docs-pages.ts';
import { memoized } from '../memoized.ts';
import { readStaticFiles, type StaticFile, sendStaticFile } from '../static-files.ts';

/** Made by scripts/build.mjs, in the folder of the compiled program. */
const documentFile = new URL('../../../openapi.json', import.meta.url);

/** Headers of a request that the pages depend on: the parts of a file, and the version that a browser has. */
const headersOfPages = new Set(['range', 'if-none-match', 'if-modified-since', 'if-range']);
/** Headers of one connection, which the outer response sets itself. */
const headersOfConnection = new Set(['connection', 'keep-alive', 'date', 'transfer-encoding', 'content-length']);

export async function docsRoutes(app: FastifyInstance): Promise<void> {
  const document = memoized(() => readFile(documentFile, 'utf8'));
  const guide = memoized(readGuide);
  const pages = memoized(async () => {
    const { openDocsPages } = await import('../docs-pages.ts');
    return openDocsPages(JSON.parse(await document()), themeIn(await guide()));
  });

  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) =>
    reply.type('application/json; charset=utf-8').send(`${await document()}\n`),
  );

  const page = async (request: FastifyRequest, reply: FastifyReply) => {
    const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => headersOfPages.has(name)));
    const { statusCode, headers: theirs, rawPayload } = await (await pages()).inject({ url: request.url, headers });
    if (statusCode === 404) return reply.callNotFound();
    for (const [name, value] of Object.entries(theirs)) {
      if (!headersOfConnection.has(name)) reply.header(name, value);
    }
    return reply.code(statusCode).send(rawPayload);
  };
  app.get('/docs', { schema: { hide: true } }, page);
  app.get('/docs/*', { schema: { hide: true } }, page);
  guideRoutes(app, guide);
}

/** They load only what the server serves, and run no script but theirs. */
const policyOfGuide =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/** The guide, whose pages are the files of docs/, and the page to which the `type` of a problem links. */
function guideRoutes(app: FastifyInstance, files: () => Promise<GuideFiles>): void {
  const send = (request: FastifyRequest, reply: FastifyReply, file: StaticFile) => {
    if (file.contentType.startsWith('text/html')) reply.header('content-security-policy', policyOfGuide);
    return sendStaticFile(request, reply, file);
  };

  app.get('/docs/errors', { schema: { hide: true } }, async (request, reply) => {
    const file = (await files()).get('errors');
    return file ? send(request, reply, file) : reply.callNotFound();
  });

  app.get('/docs/guide', { schema: { hide: true } }, async (_request, reply) => reply.redirect('/docs/guide/', 308));

  app.get('/docs/guide/*', { schema: { hide: true } }, async (request, reply) => {
    const found = await files();
    const name = `guide/${(request.params as { '*': string })['*']}`;
    const file = found.get(name);
    if (file) return send(request, reply, file);
    // As the page is called in the repository, and in messages: docs/GLOSSARY.md.
    const known = name.toLowerCase().replace(/(readme)?\.md$|\/$/, '');
    return found.has(known) ? reply.redirect(`/docs/${known}`, 308) : reply.callNotFound();
  });
}

/** The files of the guide by their paths below /docs/, pages without the ending of their names. */
type GuideFiles = ReadonlyMap<string, StaticFile>;

async function readGuide(): Promise<GuideFiles> {
  const files = (await readStaticFiles(guideFolder)) ?? new Map<string, StaticFile>();
  return new Map([...files].map(([name, file]) => [name.replace(/(^|\/)index\.html$|\.html$/, '$1'), file]));
}

function themeIn(guide: GuideFiles): DocsTheme | undefined {
  const [logo, script, stylesheet] = ['logo.svg', 'api-theme.js', 'api-theme.css'].map(
    (name) => guide.get(name)?.bodies.identity,
  );
  return logo && script && stylesheet && { logo, script, stylesheet };
}
