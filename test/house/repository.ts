// The repository as data, for the tests of this folder: its files, what they import, and its scripts.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';
import { projectRoot } from '../../src/config/config.ts';

export const root = projectRoot();

/** The text of a file, by its path from the project's root. */
export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

export function exists(path: string): boolean {
  return existsSync(join(root, path));
}

/** Every file below `folder` whose name ends with `ending`, by its path from the root, sorted; none if there is no such folder. */
export function filesBelow(folder: string, ending = ''): string[] {
  if (!exists(folder)) return [];
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

export interface Import {
  /** What stands in the quotes. */
  specifier: string;
  /** The file it leads to, from the root, if it is one of ours. */
  file: string | undefined;
  /** Erased by the compiler: nothing is loaded for it. */
  isTypeOnly: boolean;
  /** Loaded when the code comes to it, and not with the file. */
  isDynamic: boolean;
}

const importPattern =
  /(?:^|\n)\s*(?:import|export)\s+(type\s+)?(?:[\w*{}\s,$]+?\s+from\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

/** What a TypeScript file imports, dynamically too. */
export function importsOf(path: string): Import[] {
  return [...withoutComments(read(path)).matchAll(importPattern)].map(([, type, fixed, dynamic]) => {
    const specifier = fixed ?? dynamic ?? '';
    const file = specifier.startsWith('.') ? posix.join(dirname(path), specifier) : undefined;
    return { specifier, file, isTypeOnly: type !== undefined, isDynamic: dynamic !== undefined };
  });
}

/** TypeScript without its comments, which may name anything. Strings stay, also those that look like comments. */
export function withoutComments(text: string): string {
  return text.replace(
    /('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g,
    (match, string: string | undefined) => string ?? (match.startsWith('/*') ? ' ' : ''),
  );
}

/** Lua without its comments. */
export function luaWithoutComments(text: string): string {
  return text.replace(/--\[\[[\s\S]*?\]\]/g, '').replace(/--[^\n]*/g, '');
}

/** Every file of the project's own TypeScript: what is shipped, and what tests it. */
export const sources = [...filesBelow('schemas', '.ts'), ...filesBelow('src', '.ts')];
export const tests = [...filesBelow('test', '.ts'), ...filesBelow('client/test', '.ts')];
/** The npm package that programs use. */
export const client = filesBelow('client/src', '.ts');
export const scripts = filesBelow('src/store/lua', '.lua');
export const entryScripts = scripts.filter((path) => !path.startsWith('src/store/lua/lib/'));

/** The tags that stand at the head of tables in a Lua text: what a script replies with. */
export function replyTags(lua: string): string[] {
  return [...luaWithoutComments(lua).matchAll(/\{\s*'([A-Z][A-Z_]+)'/g)].map((match) => match[1]!);
}

/** The files whose text has a match, each with the first one. `textOf` may leave out what does not count, such as comments. */
export function filesWith(pattern: RegExp, files: string[], textOf: (path: string) => string = read): string[] {
  return files.flatMap((file) => {
    const found = pattern.exec(textOf(file))?.[0];
    return found === undefined ? [] : [`${file}: ${found.trim()}`];
  });
}

/** The files whose text has no match. */
export function filesWithout(pattern: RegExp, files: string[], textOf: (path: string) => string = read): string[] {
  return files.filter((file) => !pattern.test(textOf(file)));
}

/** The TypeScript text of a file without its comments. */
export function codeOf(path: string): string {
  return withoutComments(read(path));
}

/** The Lua text of a file without its comments. */
export function luaOf(path: string): string {
  return luaWithoutComments(read(path));
}

/** Every operation of an OpenAPI document. */
export function operationsOf(document: any): { name: string; path: string; method: string; operation: any }[] {
  return Object.entries<any>(document.paths).flatMap(([path, item]) =>
    Object.entries<any>(item).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      path,
      method,
      operation,
    })),
  );
}
