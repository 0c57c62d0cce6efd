// A slash at the end of a URL of the dialect counts as none: the proxies of Kafka take both, and clients send both.
import type { IncomingMessage } from 'node:http';

const slashAtEnd = /^(\/(?:topics|consumers|brokers|v3|kafka\/v3)(?:\/[^?]*)?)\/(?=\?|$)/;

/** The URL of a request without the slash at the end of its path, if it is one of the dialect. For Fastify's `rewriteUrl`. */
export function withoutSlashAtEnd({ url = '' }: IncomingMessage): string {
  return url.endsWith('/') || url.includes('/?') ? url.replace(slashAtEnd, '$1') : url;
}
