// Stack traces in the log name lines of the TypeScript, and not of the JavaScript that was compiled from it. Node's option
// --enable-source-maps does that as well, but it reads the map of every module at the start: a fifth of the CPU time of a start. Here
// a map is read when a trace names its module, and of the map of a bundle only the section of the module is decoded.
import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';
import { LRUCache } from 'lru-cache';
import { stdSerializers } from 'pino';

/** A compiled module with the line and column in it, each from 1. */
const place = /(file:\/\/[^\s():]*\.js):(\d+):(\d+)/g;
/** Few modules stand in the traces of one fault; a decoded map of one takes some 100 KB, the text of that of a bundle 1 MB. */
const mapsMax = 32;

/** A part of a file, often a module of a bundle, with the line and column at which it begins, from 0. */
interface Section {
  offset: { line: number; column: number };
  map: ConstructorParameters<typeof SourceMap>[0];
}

/** By URL of a compiled file, in the order of the file; none if it has no map. */
const sectionsOfFiles = new LRUCache<string, readonly Section[]>({ max: mapsMax });
const decoded = new LRUCache<Section, SourceMap>({ max: mapsMax });

/** The stack trace with the places in compiled modules replaced by those in their sources, as far as they have source maps. */
export function ofSources(stack: string): string {
  return stack.replace(place, (compiled: string, url: string, line: string, column: string) => {
    const entry = tryTo(() => findEntry(url, Number(line) - 1, Number(column) - 1));
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

/** @param line and column from 0 @throws Error if the map is damaged */
function findEntry(url: string, line: number, column: number): ReturnType<SourceMap['findEntry']> | undefined {
  const sections = sectionsOfFiles.get(url) ?? readSections(url);
  sectionsOfFiles.set(url, sections);
  const section = sections.findLast(
    ({ offset }) => offset.line < line || (offset.line === line && offset.column <= column),
  );
  if (!section) return undefined;
  const map = decoded.get(section) ?? new SourceMap(section.map);
  decoded.set(section, map);
  const { offset } = section;
  return map.findEntry(line - offset.line, offset.line === line ? column - offset.column : column);
}

/** The sections of the map of a bundle (scripts/index-map.mjs); that of a module alone is one. */
function readSections(url: string): readonly Section[] {
  const map = tryTo(() => JSON.parse(readFileSync(new URL(`${url}.map`), 'utf8')));
  if (map === undefined) return [];
  return map.sections ?? [{ offset: { line: 0, column: 0 }, map }];
}

/** A trace that cannot be translated is better than none. @returns undefined where `read` fails */
function tryTo<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
