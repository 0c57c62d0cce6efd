/**
 * The rules for node paths: which texts are paths, who is whose parent, and which part of the tree the service keeps
 * for itself. It owns no tree: whether a node exists is the store's business.
 *
 * The rules are ZooKeeper's (PathUtils), so that a path that is legal there is legal here and the other way round, up to
 * a depth that nobody needs (pathLevelsMax).
 */

/** The roots of what the service itself writes. Users read and watch there, and never write. */
export const reservedRoots = [
  '/brokers',
  '/controller',
  '/controller_epoch',
  '/cluster',
  '/consumers',
  '/config',
  '/admin',
] as const;

/**
 * ZooKeeper bounds a path only by its packets. Here every level costs each broker a look at each event below it, and the
 * store a node when missing parents are made, so a path of thousands of levels would hold up everybody.
 */
export const pathLevelsMax = 128;

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

/**
 * What is wrong with the prefix of a sequential node. ZooKeeper judges it with a digit behind it, as the node will
 * have: so '/p/' and '/p/..' are good prefixes, and '/p//' is not.
 */
export function sequentialPathProblem(prefix: string): string | undefined {
  return pathProblem(`${prefix}1`);
}

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

/** Whether `path` is one of the reserved roots or lies below one. */
export function isReserved(path: string): boolean {
  return reservedRoots.some((root) => isBelowOrEqual(path, root));
}

/** Whether `path` is `root` itself or lies below it, at any depth; everything lies below '/'. */
export function isBelowOrEqual(path: string, root: string): boolean {
  if (root === '/') return path.startsWith('/');
  return path.startsWith(root) && (path.length === root.length || path.charCodeAt(root.length) === slash);
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
