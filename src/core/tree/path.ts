/**
 * The rules for node paths: which strings are valid paths, and what the parent of a path is. The store decides whether a
 * node exists.
 *
 * The rules are those of ZooKeeper's PathUtils: a path is valid here exactly if it is valid there. Only the number of levels
 * (pathLevelsMax) and the length in a URL are limited in addition.
 */

/**
 * The maximum number of levels of a path. ZooKeeper limits a path only by its packet size. Here each broker checks every
 * level of a changed path for watches, and the store may have to create a missing parent for every level. A path with
 * thousands of levels would delay all other requests.
 */
export const pathLevelsMax = 128;

/**
 * The maximum lengths of a new name and of a new path, in bytes when percent-encoded. They ensure that every node has a
 * usable URL: it fits into the 8 KiB that nginx and Apache accept for a URL. Headers and a query (such as `after` with the
 * name of a child) fit beside it into the 16 KiB that this server accepts for a request's head. A name can have 256
 * characters of any script.
 */
export const nameEncodedBytesMax = 2304;
export const pathEncodedBytesMax = 4608;

/** Characters of the longest number that a sequential node can get: a sign and ten digits. */
const counterLengthMax = 11;

const slash = 0x2f;
const dot = 0x2e;

/**
 * Validates a path. Returns undefined if it is valid, else the problem as a sentence without a full stop. The sentence counts
 * segments from 1, and positions from 0 in UTF-16 code units, as ZooKeeper's messages do.
 */
export function pathProblem(path: string): string | undefined {
  if (path.length === 0) return 'the path is empty';
  if (path.charCodeAt(0) !== slash) return "the path does not start with '/'";
  if (path.length === 1) return undefined;
  if (path.charCodeAt(path.length - 1) === slash) return "the path ends with '/'";

  let segment = 1;
  let segmentStart = 1;
  for (let i = 1; i <= path.length; i++) {
    // The end of the path ends the last segment, as a slash does.
    const unit = i < path.length ? path.charCodeAt(i) : slash;
    if (unit === slash) {
      const length = i - segmentStart;
      if (length === 0) return `segment ${segment} is empty`;
      if (length === 1 && path.charCodeAt(segmentStart) === dot) return `segment ${segment} is '.'`;
      if (length === 2 && path.charCodeAt(segmentStart) === dot && path.charCodeAt(segmentStart + 1) === dot) {
        return `segment ${segment} is '..'`;
      }
      if (segment > pathLevelsMax) return `the path has more than ${pathLevelsMax} levels`;
      segment++;
      segmentStart = i + 1;
    } else if (isForbidden(unit)) {
      return `character ${codePointName(path, i)} at position ${i} is not allowed`;
    }
  }
  return undefined;
}

/** Like pathProblem(), for a node to be created: the path must also fit into a URL. */
export function newPathProblem(path: string): string | undefined {
  return pathProblem(path) ?? lengthProblem(path);
}

/**
 * Like newPathProblem(), for the prefix of a sequential node. As in ZooKeeper, the prefix is validated with a digit appended:
 * '/p/' and '/p/..' are valid prefixes, '/p//' is not.
 */
export function sequentialPathProblem(prefix: string): string | undefined {
  return pathProblem(`${prefix}1`) ?? lengthProblem(prefix + '1'.repeat(counterLengthMax));
}

function lengthProblem(path: string): string | undefined {
  // A fast path: most paths are too short to exceed a limit, whatever their characters are.
  if (path.length * encodedBytesPerUnitMax <= nameEncodedBytesMax) return undefined;
  const names = path.slice(1).split('/');
  const lengths = names.map(encodedBytes);
  for (const [index, bytes] of lengths.entries()) {
    if (bytes > nameEncodedBytesMax) return tooLong(`segment ${index + 1}`, bytes, nameEncodedBytesMax);
  }
  const bytes = lengths.reduce((sum, length) => sum + 1 + length, 0);
  return bytes > pathEncodedBytesMax ? tooLong('the path', bytes, pathEncodedBytesMax) : undefined;
}

function tooLong(what: string, bytes: number, max: number): string {
  return `${what} has ${bytes} bytes when percent-encoded; the limit is ${max}, so that it fits into a URL; use a shorter name`;
}

/** The most bytes that one UTF-16 code unit can need: three bytes of UTF-8, each as `%XX`. */
const encodedBytesPerUnitMax = 9;

/** Bytes of a name in a URL in which every character is percent-encoded that is not unreserved in RFC 3986. */
function encodedBytes(name: string): number {
  let bytes = 0;
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    if (unit >= 0x80) bytes += unit < 0x800 ? 6 : encodedBytesPerUnitMax;
    else bytes += isUnreserved(unit) ? 1 : 3;
  }
  return bytes;
}

function isUnreserved(unit: number): boolean {
  const letter = unit | 0x20;
  return (
    (letter >= 0x61 && letter <= 0x7a) ||
    (unit >= 0x30 && unit <= 0x39) ||
    unit === 0x2d ||
    unit === dot ||
    unit === 0x5f ||
    unit === 0x7e
  );
}

/** Removes one slash from the end of a path from a client, except of the root: a valid path does not end with a slash. */
export function withoutTrailingSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

/** Shortens a long path for an error text. */
export function shownPath(path: string): string {
  return path.length > shownLengthMax ? `${path.slice(0, shownLengthMax)}…` : path;
}

const shownLengthMax = 200;

/**
 * The parent of a path: everything before the last slash, or '/' for a child of the root. The path need not be valid, as
 * ZooKeeper looks for the parent before it validates the path: the parent of '/p/' is '/p', that of '/p/./x' is '/p/.'.
 */
export function parentOf(path: string): string {
  const end = path.lastIndexOf('/');
  return end <= 0 ? '/' : path.slice(0, end);
}

/** The name of a node: everything after the last slash of its path; '' for the root. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/**
 * Whether ZooKeeper forbids a UTF-16 code unit in a path. It forbids control characters, surrogates (so all characters outside
 * the Basic Multilingual Plane), the private use area, and the specials from U+FFF0 on.
 */
function isForbidden(unit: number): boolean {
  return unit < 0x20 || (unit >= 0x7f && unit <= 0x9f) || (unit >= 0xd800 && unit <= 0xf8ff) || unit >= 0xfff0;
}

/** Names the whole character at a position, such as U+1F600, not only the first half of its surrogate pair. */
function codePointName(path: string, position: number): string {
  const codePoint = path.codePointAt(position) ?? 0;
  return `U+${codePoint.toString(16).toUpperCase().padStart(4, '0')}`;
}
