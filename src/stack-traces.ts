// Stack traces in the log name lines of the TypeScript, and not of the JavaScript that was compiled from it. Node's option
// --enable-source-maps does that as well, but it reads the map of every module at the start: a fifth of the CPU time of a start. Here
// a map is read when a trace names its module.
import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';
import { LRUCache } from 'lru-cache';
import { stdSerializers } from 'pino';

/** A compiled module with the line and column in it, each from 1. */
const place = /(file:\/\/[^\s():]*\.js):(\d+):(\d+)/g;
/** Few modules stand in the traces of one fault; a parsed map takes some 100 KB. */
const mapsMax = 32;

const maps = new LRUCache<string, { map: SourceMap | undefined }>({ max: mapsMax });

/** The stack trace with the places in compiled modules replaced by those in their sources, as far as they have source maps. */
export function ofSources(stack: string): string {
  return stack.replace(place, (compiled: string, url: string, line: string, column: string) => {
    const entry = mapOf(url)?.findEntry(Number(line) - 1, Number(column) - 1);
    if (!entry || !('originalSource' in entry)) return compiled;
    const source = fileURLToPath(new URL(entry.originalSource, url));
    return `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
  });
}

/** For pino's option `serializers.err`: an error as pino logs it, its trace being one of sources. */
export function errorForLog(error: Error): ReturnType<typeof stdSerializers.err> {
  const logged = stdSerializers.err(error);
  if (typeof logged?.stack === 'string') logged.stack = ofSources(logged.stack);
  return logged;
}

function mapOf(url: string): SourceMap | undefined {
  const known = maps.get(url) ?? { map: readMap(url) };
  maps.set(url, known);
  return known.map;
}

/** A trace that cannot be translated is better than none. */
function readMap(url: string): SourceMap | undefined {
  try {
    return new SourceMap(JSON.parse(readFileSync(new URL(`${url}.map`), 'utf8')));
  } catch {
    return undefined;
  }
}
