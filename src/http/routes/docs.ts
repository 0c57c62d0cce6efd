// /openapi.json, and the pages below /docs: the API to read and try, and the error codes. A server that serves only clients needs
// none of them: the document was made when the program was built, and what shows it is loaded for the first reader.
import { readFile } from 'node:fs/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { errorCatalogue } from '../../../schemas/errors.ts';
import { memoized } from '../memoized.ts';

/** Made by scripts/build.mjs, in the folder of the compiled program. */
const documentFile = new URL('../../../openapi.json', import.meta.url);

/** Headers of a request that the pages depend on: the parts of a file, and the version that a browser has. */
const headersOfPages = new Set(['range', 'if-none-match', 'if-modified-since', 'if-range']);
/** Headers of one connection, which the outer response sets itself. */
const headersOfConnection = new Set(['connection', 'keep-alive', 'date', 'transfer-encoding', 'content-length']);

export async function docsRoutes(app: FastifyInstance): Promise<void> {
  const document = memoized(() => readFile(documentFile, 'utf8'));
  const pages = memoized(async () => {
    const { openDocsPages } = await import('../docs-pages.ts');
    return openDocsPages(JSON.parse(await document()));
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

  // The page to which the `type` of a problem links.
  app.get('/docs/errors', { schema: { hide: true } }, async (_request, reply) =>
    reply.type('text/html; charset=utf-8').send(errorsPage),
  );
}

const errorsPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Weirkeeper: error codes</title></head><body>
<h1>Error codes</h1>
<p>Each error is <code>application/problem+json</code>. The code never changes; texts may.</p>
<table><thead><tr><th>Code</th><th>Status</th><th>Retryable</th><th>Meaning</th></tr></thead><tbody>
${Object.entries(errorCatalogue)
  .map(
    ([code, { status, retryable, summary }]) =>
      `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${retryable ? 'yes' : 'no'}</td><td>${summary}</td></tr>`,
  )
  .join('\n')}
</tbody></table></body></html>
`;
