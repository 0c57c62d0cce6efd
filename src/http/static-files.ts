// Files that were made when the program was built: read once, and kept in memory as they are and compressed. There are few of them,
// known by name, so nothing of a URL ever reaches the file system.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import Negotiator from 'negotiator';

type ContentEncoding = 'br' | 'gzip' | 'identity';

export interface StaticFile {
  contentType: string;
  /** Its name has a hash of its content, so it never changes. */
  isImmutable: boolean;
  /** A strong validator for a file that may change. */
  etag: string;
  bodies: Partial<Record<ContentEncoding, Buffer>> & { identity: Buffer };
}

const contentTypes: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
};

/** The smallest first: a browser that takes several likes them all. */
const encodings: ContentEncoding[] = ['br', 'gzip', 'identity'];

/**
 * Reads the files of a folder, and those that were compressed beside them (`.br`, `.gz`). Those in a folder `assets` never change.
 * @returns them by their paths below the folder; undefined if there is no such folder
 */
export async function readStaticFiles(folder: string): Promise<Map<string, StaticFile> | undefined> {
  let entries: { parentPath: string; name: string; isFile(): boolean }[];
  try {
    entries = await readdir(folder, { recursive: true, withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const paths = new Set(
    entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name)),
  );
  const files = new Map<string, StaticFile>();
  for (const path of paths) {
    const contentType = contentTypes[extname(path)];
    if (contentType === undefined) continue;
    const name = relative(folder, path).split(sep).join('/');
    const identity = await readFile(path);
    files.set(name, {
      contentType,
      isImmutable: /(^|\/)assets\//.test(name),
      etag: etagOf(identity),
      bodies: {
        identity,
        ...(paths.has(`${path}.gz`) && { gzip: await readFile(`${path}.gz`) }),
        ...(paths.has(`${path}.br`) && { br: await readFile(`${path}.br`) }),
      },
    });
  }
  return files;
}

/** A page that depends on the options of the server, and is compressed by it. */
export function staticPage(text: string): StaticFile {
  const identity = Buffer.from(text);
  return {
    contentType: contentTypes['.html'] ?? '',
    isImmutable: false,
    etag: etagOf(identity),
    bodies: { identity, gzip: gzipSync(identity), br: brotliCompressSync(identity) },
  };
}

function etagOf(content: Buffer): string {
  return `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`;
}

/** Sends a file as the client takes it, or says that the client has it. */
export function sendStaticFile(request: FastifyRequest, reply: FastifyReply, file: StaticFile): FastifyReply {
  const { contentType, isImmutable, etag, bodies } = file;
  reply.header('vary', 'accept-encoding').header('etag', etag);
  reply.header('cache-control', isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache');
  reply.header('cross-origin-resource-policy', 'same-origin').header('referrer-policy', 'no-referrer');
  if (isCurrent(request, etag)) return reply.code(304).send();
  const offered = encodings.filter((encoding) => bodies[encoding] !== undefined);
  const accepted = new Negotiator(request.raw).encodings([...offered]);
  const encoding = offered.find((each) => accepted.includes(each)) ?? 'identity';
  if (encoding !== 'identity') reply.header('content-encoding', encoding);
  return reply.type(contentType).send(bodies[encoding]);
}

function isCurrent({ headers }: FastifyRequest, etag: string): boolean {
  const known = headers['if-none-match'];
  return known?.split(',').some((each) => each.trim().replace(/^W\//, '') === etag) ?? false;
}
