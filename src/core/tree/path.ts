/**
 * The rules for node paths: which texts are paths, and which path is the parent of another. Whether a node exists is
 * decided in the store.
 *
 * The rules are ZooKeeper's (PathUtils), so that a path that is legal there is legal here and the other way round, up to
 * a depth that nobody needs (pathLevelsMax).
 */

/**
 * ZooKeeper bounds a path only by its packets. Here every level costs each broker a look at each event below it, and the
 * store a node when missing parents are made, so a path of thousands of levels would hold up everybody.
 */
export const pathLevelsMax = 128;

/**
 * How long a new name and a new path may be, in bytes as percent-encoded in a URL: so that every node can be reached by its URL, with
 * room for a query (a page of its children begins `after` a name) and headers within the 16 KiB of a request's head, and within the
 * 8 KiB that nginx and Apache take for a URL. 256 characters of any script fit into a name.
 */
export const nameEncodedBytesMax = 2304;
export const pathEncodedBytesMax = 4608;

/** The longest number that a sequential node can get: a sign and ten digits. */
const counterLengthMax = 11;

const slash = 0x2f;
const dot = 0x2e;

/**
 * What is wrong with `path`, as a sentence without its full stop, or undefined if it is a valid path.
 * Segments count from 1, positions from 0 in UTF-16 code units (the first slash is at 0), as in ZooKeeper's own texts.
 */
export function pathProblem(path: string): string | undefined {
  if (path.length === 0) return 'the path is empty';
  if (path.charCodeAt(0) !== slash) return "the path does not start with '/'";
  if (path.length === 1) return undefined;
  if (path.charCodeAt(path.length - 1) === slash) return "the path ends with '/'";

  let segment = 1;
  let segmentStart = 1;
  for (let i = 1; i <= path.length; i++) {
    // The end of the text closes the last segment as a slash would.
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

/** As pathProblem(), for a node that is to be created: its URL must fit into a request, too. */
export function newPathProblem(path: string): string | undefined {
  return pathProblem(path) ?? lengthProblem(path);
}

/**
 * What is wrong with the prefix of a sequential node. ZooKeeper judges it with a digit behind it, as the node will
 * have: so '/p/' and '/p/..' are good prefixes, and '/p//' is not.
 */
export function sequentialPathProblem(prefix: string): string | undefined {
  return pathProblem(`${prefix}1`) ?? lengthProblem(prefix + '1'.repeat(counterLengthMax));
}

function lengthProblem(path: string): string | undefined {
  // Nearly all paths are so short that they need no counting.
  if (path.length * encodedBytesPerUnitMax <= nameEncodedBytesMax) return undefined;
  const names = path.slice(1).split('/');
  const lengths = names.map(encodedBytes);
  const long = lengths.findIndex((bytes) => bytes > nameEncodedBytesMax);
  if (long >= 0) return tooLong(`segment ${long + 1}`, lengths[long]!, nameEncodedBytesMax);
  const bytes = lengths.reduce((sum, length) => sum + 1 + length, 0);
  return bytes > pathEncodedBytesMax ? tooLong('the path', bytes, pathEncodedBytesMax) : undefined;
}

function tooLong(what: string, bytes: number, max: number): string {
  return `${what} has ${bytes} bytes when it is percent-encoded, and at most ${max} fit into a URL; use a shorter name`;
}

/** Three bytes of UTF-8, each as `%XX`. */
const encodedBytesPerUnitMax = 9;

/** The length of a name in a URL whose writer encodes all that RFC 3986 does not call unreserved. */
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

/** A path as it is accepted from a client: one slash at its end is dropped, as ZooKeeper's own form has none. */
export function withoutTrailingSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

/** A path as an error shows it: its beginning, if it is long. */
export function shownPath(path: string): string {
  return path.length > shownLengthMax ? `${path.slice(0, shownLengthMax)}…` : path;
}

const shownLengthMax = 200;

/**
 * The text up to the last slash, and '/' for what lies directly below the root. As in ZooKeeper this needs no valid
 * path: the parent is looked for before the path is judged, so '/p/' has the parent '/p' and '/p/./x' has '/p/.'.
 */
export function parentOf(path: string): string {
  const end = path.lastIndexOf('/');
  return end <= 0 ? '/' : path.slice(0, end);
}

/** The text after the last slash: the last segment of a valid path, and '' for the root. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/**
 * ZooKeeper's forbidden code units: the control characters, the surrogates (and with them every character outside the
 * Basic Multilingual Plane) together with the private use area that follows them, and the specials at the end.
 */
function isForbidden(unit: number): boolean {
  return unit < 0x20 || (unit >= 0x7f && unit <= 0x9f) || (unit >= 0xd800 && unit <= 0xf8ff) || unit >= 0xfff0;
}

/** The whole character is named, not half of it: the user typed an emoji, not a surrogate. */
function codePointName(path: string, position: number): string {
  const codePoint = path.codePointAt(position) ?? 0;
  return `U+${codePoint.toString(16).toUpperCase().padStart(4, '0')}`;
}
