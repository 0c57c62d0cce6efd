// Errors of the WebSocket library: frames that it refuses, and connections that are lost.
import type { WebSocket } from '@fastify/websocket';
import type { FastifyRequest } from 'fastify';
import { socketPayloadBytesMax } from './limits.ts';

/** The error that is sent when the library refuses a frame, by the code with which it closes the socket. */
export const refusedFrames = new Map<number, { problem: 'BAD_REQUEST' | 'TOO_LARGE'; detail: string }>([
  [1002, { problem: 'BAD_REQUEST', detail: 'A frame is not valid in the WebSocket protocol (RFC 6455).' }],
  [1007, { problem: 'BAD_REQUEST', detail: 'A text frame is not UTF-8.' }],
  [1009, { problem: 'TOO_LARGE', detail: `A frame is over the limit of ${socketPayloadBytesMax / 1024 ** 2} MiB.` }],
]);

/** For @fastify/websocket. A reset connection or an invalid frame is the peer's error, and is not logged as one of the server. */
export function handleSocketError(error: Error, ws: WebSocket, request: FastifyRequest): void {
  const code = 'code' in error ? String(error.code) : undefined;
  request.log[code ? 'debug' : 'error']({ err: error }, 'A socket failed');
  // After an invalid frame the library closes the socket itself.
  if (!code?.startsWith('WS_ERR_')) ws.terminate();
}
