// Reads fencing tokens as clients write them.
import { ServiceError } from '../../core/service-error.ts';
import { pathProblem, withoutTrailingSlash } from '../../core/tree/path.ts';
import type { Fence } from './batch.ts';

/**
 * The fencing token of a request: `<name>=<integer>`, or `/path@<czxid>`, the path as in a URL.
 * @param where what the text is, for errors
 * @throws ServiceError BAD_REQUEST, INVALID_PATH
 */
export function parseFence(given: string, where: string): Fence {
  const named = /^([^=\s/][^=]{0,254})=(\d+)$/.exec(given);
  // A name that begins with / could lock out the holders of the node of that path: their fence is /path@<czxid>.
  if (named) {
    const [, name = '', token = ''] = named;
    return { name, token: fenceToken(token, where) };
  }
  const ofNode = /^(\/.*)@(\d+)$/.exec(given);
  if (!ofNode) {
    throw new ServiceError(
      'BAD_REQUEST',
      `${where} is '${given.slice(0, 300)}'; it must be <name>=<integer>, such as orders=42, with a name of up to 255 ` +
        'characters that does not begin with /, or /path@<czxid>, such as /locks/orders@42.',
    );
  }
  const [, path = '', token = ''] = ofNode;
  const node = nodeOfFence(path, where);
  return { name: node, token: fenceToken(token, where), node };
}

function fenceToken(digits: string, where: string): number {
  const token = Number(digits);
  if (Number.isSafeInteger(token)) return token;
  throw new ServiceError(
    'BAD_REQUEST',
    `The token ${digits.slice(0, 300)} of ${where} is above ${Number.MAX_SAFE_INTEGER} (2^53-1), beyond which numbers are not exact ` +
      'everywhere. The czxid of a node is a good token; a time in nanoseconds is none.',
  );
}

/** The path of a node, given as in a URL: percent-encoded, or as UTF-8. */
function nodeOfFence(text: string, where: string): string {
  let path: string;
  try {
    path = withoutTrailingSlash(decodeURIComponent(text));
  } catch {
    throw new ServiceError('BAD_REQUEST', `The path ${text.slice(0, 300)} in ${where} has a broken percent-encoding.`);
  }
  const bytes = Buffer.byteLength(path);
  const problem =
    pathProblem(path) ??
    (bytes > fencePathBytesMax
      ? `it has ${bytes} bytes, and the path of a fence at most ${fencePathBytesMax}`
      : undefined);
  if (problem) throw new ServiceError('INVALID_PATH', `${where} ${path.slice(0, 300)}: ${problem}.`, { path });
  return path;
}

const fencePathBytesMax = 1024;
