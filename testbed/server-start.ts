// Waits until a server that runs as a process of its own serves.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { within } from './scope.ts';

/** How many lines of its output an error shows. */
const shownLines = 20;
/** More than a start takes on a busy machine, less than the time of a test file, ms. */
const servingMsMax = 150_000;
/** How long the rest of the output may take after the end of the process, ms: a child of it may hold the pipe open. */
const restMsMax = 500;

/**
 * Reads the log of a server, one line of JSON each, until it serves.
 * @param child its standard output is a pipe; so may be its standard error
 * @param serves called with each line, also after the start, until the returned reader is closed; true for the one which says that it serves
 * @throws Error with the last lines of its output, as soon as the process has ended without serving
 */
export async function untilServing(
  child: ChildProcess,
  serves: (entry: Record<string, unknown>) => boolean,
): Promise<Interface> {
  const output: string[] = [];
  const keep = (text: string) => {
    output.push(text);
    if (output.length > shownLines) output.shift();
  };
  const errors = child.stderr && createInterface({ input: child.stderr }).on('line', keep);
  const lines = createInterface({ input: child.stdout! });
  const ended = once(child, 'exit').then(async ([code, signal]) => {
    await Promise.race([once(child, 'close'), pause(restMsMax)]);
    throw new Error(
      `${child.spawnargs.join(' ')} ended with ${signal ?? code} before it served:\n${output.join('\n')}`,
    );
  });
  const serving = new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      keep(line);
      try {
        if (serves(JSON.parse(line) as Record<string, unknown>)) resolve();
      } catch (error) {
        reject(error);
      }
    });
  });
  try {
    await within(Promise.race([serving, ended]), `${child.spawnargs.join(' ')} serves`, {
      withinMs: servingMsMax,
      evidence: () => output.join('\n'),
    });
  } catch (error) {
    lines.close();
    errors?.close();
    throw error;
  }
  // It may end later, which is no failure of its start.
  ended.catch(() => undefined);
  return lines;
}
