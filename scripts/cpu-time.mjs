// How much CPU processes have used.
import { readFileSync } from 'node:fs';

/** What Linux counts in, per second. */
const ticks = 100;

/**
 * The CPU that this process has used, and its children that have ended, and theirs.
 * @returns {number | undefined} seconds; undefined where there is no /proc
 */
export function cpuSeconds() {
  try {
    // The name of the program, in parentheses, may have spaces. Fields 14 to 17 of proc(5), of itself and of its children.
    const fields = readFileSync('/proc/self/stat', 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) / ticks;
  } catch {
    return undefined;
  }
}
