// Ends a process with all that it has started.
import { readdirSync, readFileSync } from 'node:fs';

/**
 * Sends a signal to the group of processes that one leads, and to all processes that those have started, which may be in groups of
 * their own: as far as they can be found, which needs Linux's /proc, and as long as their parents run.
 * @param {number} leader
 * @param {NodeJS.Signals} signal
 */
export function endTree(leader, signal) {
  for (const pid of [...descendantsOf(leader), -leader]) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended.
    }
  }
}

function descendantsOf(ancestor) {
  const children = new Map();
  for (const [pid, parent] of processes()) children.set(parent, [...(children.get(parent) ?? []), pid]);
  const found = [];
  const below = (pid) => {
    for (const child of children.get(pid) ?? []) {
      found.push(child);
      below(child);
    }
  };
  below(ancestor);
  return found;
}

/** The processes of the machine, each with its parent; none where there is no /proc. */
function processes() {
  try {
    return readdirSync('/proc')
      .filter((name) => /^[0-9]+$/.test(name))
      .flatMap((name) => {
        const parent = parentOf(name);
        return parent === undefined ? [] : [[Number(name), parent]];
      });
  } catch {
    return [];
  }
}

function parentOf(pid) {
  try {
    // The name of the program, in parentheses, may have spaces.
    return Number(
      readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')[1],
    );
  } catch {
    return undefined;
  }
}
