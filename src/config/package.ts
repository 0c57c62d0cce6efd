// The package that this file belongs to. It loads nothing else, so that a command starts at once.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of package.json. It is searched, as source and compiled files are at different depths below it. */
export function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) folder = dirname(folder);
  return folder;
}

/** The version in package.json, such as `1.2.3`. */
export function packageVersion(): string {
  return String(JSON.parse(readFileSync(join(projectRoot(), 'package.json'), 'utf8')).version);
}

/** Where the build puts the console: in the folder of the compiled program. */
export const consoleFolder = fileURLToPath(new URL('../../console-files/', import.meta.url));

/** Where the build puts the pages of the guide. */
export const guideFolder = fileURLToPath(new URL('../../guide-files/', import.meta.url));
