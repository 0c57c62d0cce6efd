// The files of the console: made by scripts/build-console.mjs, read once, and kept compressed in memory. There are a few dozen of them,
// known by name, so nothing of a URL ever reaches the file system.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';

export type ContentEncoding = 'br' | 'gzip' | 'identity';

interface ConsoleFile {
  contentType: string;
  /** Its name has a hash of its content, so it never changes. */
  isImmutable: boolean;
  /** A strong validator for a file that may change. */
  etag: string;
  bodies: Record<ContentEncoding, Buffer>;
}

/** What the page is told by the server, in its `<meta name="weir-console">`. */
type ConsoleMode = 'on' | 'read-only';

const contentTypes: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const indexName = 'index.html';
/** What scripts/build-console.mjs writes into the page, to be replaced. */
const modePlaceholder = '%CONSOLE_MODE%';

/**
 * Reads the built console.
 * @returns its files by their paths below /console/, the page itself as `''`; undefined if it was not built
 */
export async function readConsoleFiles(
  folder: string,
  mode: ConsoleMode,
): Promise<ReadonlyMap<string, ConsoleFile> | undefined> {
  let entries: { parentPath: string; name: string; isFile(): boolean }[];
  try {
    entries = await readdir(folder, { recursive: true, withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const files = new Map<string, ConsoleFile>();
  for (const entry of entries) {
    const contentType = contentTypes[extname(entry.name)];
    if (!entry.isFile() || contentType === undefined) continue;
    const file = join(entry.parentPath, entry.name);
    const name = relative(folder, file).split(sep).join('/');
    const content = await readFile(file);
    if (name === indexName) files.set('', pageOf(content.toString().replace(modePlaceholder, mode)));
    else files.set(name, await assetOf(file, content, contentType, name.startsWith('assets/')));
  }
  return files.has('') ? files : undefined;
}

/** The page: it depends on the options of the server, so it is compressed here. */
function pageOf(text: string): ConsoleFile {
  const content = Buffer.from(text);
  return {
    contentType: contentTypes['.html'] ?? '',
    isImmutable: false,
    etag: etagOf(content),
    bodies: { identity: content, gzip: gzipSync(content), br: brotliCompressSync(content) },
  };
}

async function assetOf(
  file: string,
  identity: Buffer,
  contentType: string,
  isImmutable: boolean,
): Promise<ConsoleFile> {
  const [br, gzip] = await Promise.all([readFile(`${file}.br`), readFile(`${file}.gz`)]);
  return { contentType, isImmutable, etag: etagOf(identity), bodies: { identity, gzip, br } };
}

function etagOf(content: Buffer): string {
  return `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`;
}
