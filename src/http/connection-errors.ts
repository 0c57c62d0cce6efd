// Closes connections whose bytes Node's parser could not read as HTTP. If no response is in flight, the client gets a problem that says
// why. Otherwise the responses in flight are completed first, and nothing is written between or after their bytes.
import { randomUUID } from 'node:crypto';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { jsonLine } from '../core/json-line.ts';
import { ServiceError } from '../core/service-error.ts';
import { headBytesMax } from './limits.ts';
import type { LingeringClose } from './lingering-close.ts';
import type { Connections } from './plugins/connections.ts';

/** An error of Node's HTTP parser. */
interface ParserError extends Error {
  code?: string;
  reason?: string;
  bytesParsed?: number;
  /** The bytes that were parsed. */
  rawPacket?: unknown;
}

/** How long a response that has begun and is still being written, such as an event stream, may continue, ms. */
const streamGraceMs = 5000;

/** Makes the listener for Fastify's `clientErrorHandler`. */
export function createConnectionRefusal(
  connections: Connections,
  lingering: LingeringClose,
  log: Pick<Logger, 'debug'>,
): (error: ParserError, socket: Socket) => void {
  const failed = new WeakSet<Socket>();
  return (error, socket) => {
    // There is no HTTP on it, and nothing can be written.
    if (isTlsFailure(error)) return void socket.destroy();
    // A client that has sent nothing expects no response: a browser would take it for the response to its next request.
    const isUnused = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && socket.bytesRead === 0;
    if (error.code === 'ECONNRESET' || !socket.writable || isUnused || lingering.has(socket)) {
      return void socket.destroy();
    }
    if (failed.has(socket)) return;
    failed.add(socket);
    const problem = connectionProblem(error);
    const last = connections.inFlight(socket).at(-1);
    if (last) return closeBehind(last, problem, socket, lingering);
    const requestId = randomUUID();
    log.debug(
      { requestId, status: problem.status, code: error.code },
      'Request refused: it cannot be read as HTTP/1.1',
    );
    socket.write(responseOf(problem, requestId));
    lingering.close(socket);
  };
}

/** The problem for a client that has sent plain HTTP to a port that takes TLS: the whole response. */
export function plainHttpRefusal(): string {
  const detail = 'This port takes TLS only. Use https:// or wss:// in place of http:// or ws://; nothing was done.';
  return responseOf(new ServiceError('BAD_REQUEST', detail), randomUUID());
}

/** An error of TLS itself, before or after the handshake. */
function isTlsFailure({ code = '' }: ParserError): boolean {
  return code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_');
}

/** The headers are those that the hooks give to other refusals. */
function responseOf(problem: ServiceError, requestId: string): string {
  const body = jsonLine(problem.toProblem());
  const lines = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    'Content-Type: application/problem+json',
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    `X-Request-Id: ${requestId}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

/** Closes a connection once its last response in flight has ended. A request whose body can no longer arrive fails with the problem. */
function closeBehind(last: ServerResponse, problem: ServiceError, socket: Socket, lingering: LingeringClose): void {
  lingering.drop(socket);
  if (!last.headersSent) last.setHeader('connection', 'close');
  last.once('close', () => lingering.close(socket));
  if (last.req.complete) {
    if (!last.headersSent || last.writableEnded) return;
    const timer = setTimeout(() => socket.destroy(), streamGraceMs);
    socket.once('close', () => clearTimeout(timer));
  } else {
    failBody(last.req, problem);
  }
}

/** Fails the reader of the body, now or once it begins to read. */
function failBody(request: IncomingMessage, problem: ServiceError): void {
  request.on('newListener', (event) => {
    if (event === 'error') process.nextTick(() => request.listenerCount('error') > 0 && request.emit('error', problem));
  });
  if (request.listenerCount('error') > 0) request.emit('error', problem);
}

function connectionProblem(error: ParserError): ServiceError {
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    return new ServiceError(
      'TOO_LARGE',
      `The URL and the headers are over the limit of ${headBytesMax / 1024} KiB. Send fewer or shorter headers.`,
    );
  }
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new ServiceError(
      'REQUEST_TIMEOUT',
      'The headers did not arrive in time; the connection is closed. Send the request again.',
    );
  }
  return new ServiceError('BAD_REQUEST', describe(error));
}

/** Says which protocol arrived in place of HTTP/1.1, or which part of the request is malformed. */
function describe({ code, reason, bytesParsed = 0, rawPacket }: ParserError): string {
  const bytes = Buffer.isBuffer(rawPacket) ? rawPacket : Buffer.alloc(0);
  const isFirst = bytesParsed <= 1;
  // A record of a TLS handshake: type 22, version 3.x.
  if (isFirst && bytes[0] === 0x16 && bytes[1] === 0x03) {
    return 'This is a TLS handshake, but the port takes plain HTTP. Use http:// or ws:// in place of https:// or wss://, or connect to the proxy that terminates TLS.';
  }
  if (code === 'HPE_PAUSED_H2_UPGRADE' || bytes.subarray(0, 5).toString('latin1') === 'PRI *') {
    return 'This is HTTP/2, but the port takes HTTP/1.1. Set the client, or the proxy before it, to HTTP/1.1 (curl --http1.1).';
  }
  switch (code) {
    case 'HPE_INVALID_URL': {
      const wrong = bytes.subarray(bytesParsed).find((byte) => byte <= 0x20 || byte >= 0x7f);
      const which = wrong === undefined ? '' : ` 0x${wrong.toString(16).padStart(2, '0')}`;
      return `The URL holds the byte${which} unencoded; characters beyond ASCII must be percent-encoded as UTF-8, such as %C3%A9 for é.`;
    }
    case 'HPE_INVALID_CONSTANT':
      return `The request line does not end in HTTP/1.1 after the URL: ${reason}. A space in a URL is written %20.`;
    case 'HPE_INVALID_METHOD':
      return 'The request does not begin with a known HTTP/1.1 method. If it follows a request with a body, that body was longer than its Content-Length, which counts bytes, not characters.';
    case 'HPE_INVALID_EOF_STATE':
      return 'The client closed the connection before the request was complete: its body is shorter than its Content-Length, or its last chunk is missing.';
  }
  return `This is not a valid HTTP/1.1 request${reason ? `: ${reason}` : ''}.`;
}
