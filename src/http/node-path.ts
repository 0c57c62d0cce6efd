// How a node's path stands in a URL: percent-encoded segment by segment, as UTF-8.
import { ServiceError } from '../core/service-error.ts';

/**
 * Reads the node path from what follows the route's prefix in the raw URL. It is read raw, because a decoded `%2F` would
 * look like a separator, and a node's name cannot contain one. The prefix itself may be spelt in other ways that lead to
 * the same route, percent-encoded or behind scheme and host (RFC 9112, 3.2.2), so its segments are counted, not its letters.
 * @throws ServiceError INVALID_PATH
 */
export function nodePathOf(rawUrl: string, prefix: string): string {
  // Nearly all URLs are plain: nothing before the path, and nothing in it that is encoded.
  if (rawUrl.startsWith(prefix)) {
    const end = rawUrl.indexOf('?');
    const path = rawUrl.slice(prefix.length - 1, end < 0 ? undefined : end);
    if (!path.includes('%')) return path;
  }
  const target = rawUrl.replace(/^https?:\/\/[^/?]*/i, '');
  const end = target.indexOf('?');
  const segments = target.slice(0, end < 0 ? undefined : end).split('/');
  const encoded = segments.slice(prefix.split('/').length - 1).join('/');
  if (/%2f/i.test(encoded)) {
    throw new ServiceError('INVALID_PATH', `${encoded}: a node's name cannot contain a slash (%2F).`, {
      path: encoded,
    });
  }
  try {
    return `/${decodeURIComponent(encoded)}`;
  } catch {
    throw new ServiceError('INVALID_PATH', `${encoded}: the percent-encoding is not valid UTF-8.`, { path: encoded });
  }
}

/** The URL path of a node, for `Location`. */
export function nodeLocation(prefix: string, path: string): string {
  return prefix + path.slice(1).split('/').map(encodeURIComponent).join('/');
}
