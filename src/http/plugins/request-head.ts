// Checks the head of each request. Node, the router and the parsers silently drop, join or decode some faults; they are refused here:
// repeated headers, conditions and codings that are not evaluated, and broken percent-encoding.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { withoutHandles } from '../../core/issues.ts';
import { ServiceError } from '../../core/service-error.ts';

/** Headers with one value. If one is repeated, Node uses the first or joins them, and a proxy may use the last. */
const singleHeaders = new Set([
  'authorization',
  'content-type',
  'host',
  'idempotency-key',
  'if-modified-since',
  'if-unmodified-since',
  'last-event-id',
  'origin',
  'sec-websocket-key',
  'sec-websocket-version',
]);

/** Not supported: the server has no modification dates to compare with. */
const dateConditions = ['if-unmodified-since', 'if-modified-since'] as const;
const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Requests whose header Expect Node does not know. */
const unexpected = new WeakSet<IncomingMessage>();

async function installRequestHeadCheck(app: FastifyInstance): Promise<void> {
  // Node would silently drop headers beyond a number. The bytes of the head are limited instead (app.ts, maxHeaderSize).
  app.server.maxHeadersCount = 0;
  // Node itself would respond with an empty 417.
  app.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    unexpected.add(request);
    app.server.emit('request', request, response);
  });
  app.addHook('onRequest', (request, reply, done) => {
    const { raw } = request;
    const unsupported = transferCodingProblem(raw) ?? expectationProblem(raw);
    // The end of the body cannot be found, or the client may not send it: so the connection cannot be reused.
    if (unsupported) reply.header('connection', 'close');
    done(unsupported ?? numberProblem(raw) ?? conditionProblem(raw, request.routeConfig) ?? queryProblem(request.url));
  });
}

export const requestHeadCheck = fp(installRequestHeadCheck, { name: 'request-head-check', fastify: '5.x' });

/** A request has one Host, or none if it is of HTTP/1.0, which no browser speaks (RFC 9112, 3.2). */
function numberProblem({ rawHeaders, headers, httpVersionMinor }: IncomingMessage): ServiceError | undefined {
  // Node has one entry for all headers of a name, so nearly all requests are seen at once to repeat none.
  let names = 0;
  for (const _ in headers) names += 1;
  const name = names * 2 < rawHeaders.length ? repeatedName(rawHeaders) : undefined;
  if (name !== undefined) return repeated(rawHeaders, name);
  if (headers.host !== undefined || httpVersionMinor === 0) return undefined;
  return new ServiceError('BAD_REQUEST', 'The request has no header Host; HTTP/1.1 asks for exactly one.');
}

function repeatedName(rawHeaders: readonly string[]): string | undefined {
  const seen = new Set<string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? '').toLowerCase();
    if (!isSingle(name)) continue;
    if (seen.has(name)) return name;
    seen.add(name);
  }
  return undefined;
}

function isSingle(name: string): boolean {
  return singleHeaders.has(name) || (name.startsWith('weir-') && !name.startsWith('weir-record-'));
}

function repeated(rawHeaders: readonly string[], name: string): ServiceError {
  const given = rawHeaders.filter((header, i) => i % 2 === 0 && header.toLowerCase() === name);
  const detail = `The request has ${given.length} headers ${given[0]}; it takes exactly one. Remove all others.`;
  return new ServiceError('BAD_REQUEST', detail);
}

/** Only chunked is decoded (RFC 9112, 6.1). With any other coding the stored data would still be compressed. */
function transferCodingProblem({ headers }: IncomingMessage): ServiceError | undefined {
  const coding = headers['transfer-encoding'];
  if (coding === undefined || coding.toLowerCase() === 'chunked') return undefined;
  return new ServiceError(
    'NOT_IMPLEMENTED',
    `Transfer-Encoding is ${coding}; only chunked is known. Send the body unpacked.`,
  );
}

function expectationProblem(request: IncomingMessage): ServiceError | undefined {
  if (!unexpected.has(request)) return undefined;
  const detail = `Expect: ${request.headers.expect} is not supported; only 100-continue is.`;
  return new ServiceError('BAD_REQUEST', detail);
}

/** A client relies on the condition that it sends, so a condition that is not evaluated is refused. */
function conditionProblem(
  { method, headers }: IncomingMessage,
  { url, takesConditions }: FastifyRequest['routeConfig'],
): ServiceError | undefined {
  if (safeMethods.has(method ?? '')) return undefined;
  const byDate = dateConditions.find((name) => headers[name] !== undefined);
  if (byDate) {
    const detail = `${inTitleCase(byDate)} is not evaluated; leave it out. If-Match with the ETag of a node is the condition of a write.`;
    return new ServiceError('BAD_REQUEST', detail);
  }
  if (url === undefined || takesConditions) return undefined;
  const byTag = (['if-match', 'if-none-match'] as const).find((name) => headers[name] !== undefined);
  if (!byTag) return undefined;
  const detail = `${inTitleCase(byTag)} is not evaluated for ${method} ${url}, only for nodes; leave it out.`;
  return new ServiceError('BAD_REQUEST', detail);
}

function inTitleCase(name: string): string {
  return name.replace(/(^|-)[a-z]/g, (letters) => letters.toUpperCase());
}

/** The router's query parser accepts broken percent-encoding as text, so it is checked here. */
function queryProblem(url: string): ServiceError | undefined {
  const start = url.indexOf('?');
  if (start < 0 || !url.includes('%', start)) return undefined;
  for (const part of url.slice(start + 1).split('&')) {
    const problem = percentEncodingProblem(part);
    if (problem === undefined) continue;
    const name = part.replace(/=.*/s, '').slice(0, 60);
    return new ServiceError('BAD_REQUEST', `The query parameter ${withoutHandles(name)} ${problem}`);
  }
  return undefined;
}

/** What is wrong with the percent-encoding in a part of a URL, as the end of a sentence; undefined if it is right. */
export function percentEncodingProblem(text: string): string | undefined {
  const bare = /%(?![0-9a-f]{2}).{0,2}/i.exec(text);
  if (bare) {
    return `has ${JSON.stringify(bare[0])}: % must be followed by two hexadecimal digits. Write %25 for the character % itself.`;
  }
  for (const [encoded] of text.matchAll(/(?:%[0-9a-f]{2})+/gi)) {
    try {
      decodeURIComponent(encoded);
    } catch {
      return `has ${encoded.slice(0, 60)}, which is not UTF-8; é, for example, is %C3%A9 and not %E9.`;
    }
  }
  return undefined;
}
