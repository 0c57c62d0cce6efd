// Whether a request comes from this machine itself, for operations that only its operator may use while there is no access control.
import { isIPv4 } from 'node:net';
import type { FastifyRequest } from 'fastify';

/** Headers that proxies add: a proxy on this machine forwards requests from anywhere. */
const forwarding = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip'];

/** Behind a proxy that is trusted to say where a request comes from, `request.ip` is that. */
export function isFromLoopback(request: FastifyRequest): boolean {
  if (!isLoopback(request.socket.remoteAddress) || !isLoopback(request.ip)) return false;
  return request.ips !== undefined || !forwarding.some((name) => name in request.headers);
}

function isLoopback(address = ''): boolean {
  const plain = address.replace(/^::ffff:/, '');
  return plain === '::1' || (isIPv4(plain) && plain.startsWith('127.'));
}
