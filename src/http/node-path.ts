// Reads and writes the path of a node in a URL: UTF-8, percent-encoded.
import { ServiceError } from '../core/service-error.ts';
import { shownPath } from '../core/tree/path.ts';

/**
 * Reads the node path after the route's prefix in the raw URL. `%2F` is a separator, because a name cannot contain a slash and
 * generated clients encode it. One extra slash at the beginning or the end is dropped. The route's prefix may be spelt in other ways,
 * percent-encoded or behind a scheme and host (RFC 9112, 3.2.2), so its segments are counted rather than its characters.
 * @param keepsEnd whether a slash at the end is kept, as the empty name prefix of a sequential node
 * @returns an absolute path; only its encoding has been checked
 * @throws ServiceError INVALID_PATH if the percent-encoding cannot be decoded
 */
export function nodePathOf(rawUrl: string, prefix: string, keepsEnd = false): string {
  // The fast path: nearly all URLs have no host and no encoded characters.
  if (rawUrl.startsWith(prefix)) {
    const end = rawUrl.indexOf('?');
    const rest = rawUrl.slice(prefix.length, end < 0 ? undefined : end);
    if (!rest.includes('%')) return normalised(rest, keepsEnd);
  }
  const target = rawUrl.replace(/^https?:\/\/[^/?]*/i, '');
  const end = target.indexOf('?');
  const segments = target.slice(0, end < 0 ? undefined : end).split('/');
  return normalised(decoded(segments.slice(prefix.split('/').length - 1).join('/')), keepsEnd);
}

function normalised(rest: string, keepsEnd: boolean): string {
  const begun = rest.startsWith('/') ? rest : `/${rest}`;
  return !keepsEnd && begun.length > 1 && begun.endsWith('/') ? begun.slice(0, -1) : begun;
}

function decoded(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    throw new ServiceError('INVALID_PATH', `${shownPath(encoded)}: ${encodingProblem(encoded)}.`, { path: encoded });
  }
}

/** Describes why percent-encoding cannot be decoded. */
function encodingProblem(encoded: string): string {
  const bare = /%(?![0-9a-f]{2})/i.exec(encoded);
  if (bare) {
    return `the % at position ${bare.index} is not followed by two hexadecimal digits; a percent sign itself is written %25`;
  }
  // Each run of encoded bytes can be checked alone: the characters between runs are ASCII.
  const run = [...encoded.matchAll(/(?:%[0-9a-f]{2})+/gi)].find(([bytes]) => !isDecodable(bytes));
  return `the bytes ${shownPath(run?.[0] ?? encoded)} are not valid UTF-8; encode the path as UTF-8, then percent-encode it`;
}

function isDecodable(encoded: string): boolean {
  try {
    decodeURIComponent(encoded);
    return true;
  } catch {
    return false;
  }
}

/** The URL path of a node, for `Location`. */
export function nodeLocation(prefix: string, path: string): string {
  return prefix + path.slice(1).split('/').map(encodeURIComponent).join('/');
}
