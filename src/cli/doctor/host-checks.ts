// Checks of this machine, for a server that runs on it: the modes of its files, and settings of Linux that matter to Redis.
import { readFileSync, statfsSync, statSync } from 'node:fs';
import { sizeText } from '../units.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

/** Settings of Linux, as far as they can be read. */
export function checkSystem(root = '/'): Finding[] {
  const pages = textOf(`${root}sys/kernel/mm/transparent_hugepage/enabled`);
  const overcommit = textOf(`${root}proc/sys/vm/overcommit_memory`);
  const findings: Finding[] = [];
  if (pages !== undefined) {
    const chosen = /\[(\w+)\]/.exec(pages)?.[1] ?? pages;
    findings.push(
      chosen === 'always'
        ? warn(
            'huge pages',
            chosen,
            'A rewrite of the append-only file copies far more memory, and Redis stalls.',
            'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (at each boot).',
          )
        : ok('huge pages', chosen),
    );
  }
  if (overcommit !== undefined) {
    findings.push(
      overcommit === '0'
        ? warn(
            'overcommit',
            overcommit,
            'A rewrite of the append-only file may fail when memory is short.',
            'sysctl vm.overcommit_memory=1, and the same in /etc/sysctl.conf.',
          )
        : ok('overcommit', overcommit),
    );
  }
  return findings;
}

/** The data folder of a private Redis: who can read it, and how much room its disk has. @param used bytes of memory of Redis */
export function checkDataDir(dataDir: string, used: number): Finding[] {
  const findings = [checkFolder(dataDir), checkMode('lock', `${dataDir}/weir.lock`)];
  if (modeOf(dataDir) === undefined) return findings;
  const { bavail, bsize } = statfsSync(dataDir);
  const free = bavail * bsize;
  // A rewrite writes all data once more before it deletes the old file.
  const needed = 2 * used;
  findings.push(
    free > needed
      ? ok('disk', `${sizeText(free)} free`)
      : fail(
          'disk',
          `${sizeText(free)} free; Redis has ${sizeText(used)} of data`,
          'A rewrite of the append-only file needs as much again; without room Redis refuses writes.',
          'Free disk space, or move WEIR_DATA_DIR to a larger disk.',
        ),
  );
  return findings;
}

/** A policy or another file that only its owner may change. */
export function checkPolicy(path: string): Finding {
  const mode = modeOf(path);
  if (mode === undefined)
    return fail(
      'policy file',
      `${path} cannot be read`,
      'The server would not start with it.',
      'Set --policy to the file of WEIR_ACCESS_FILE.',
    );
  const found = `${path}, ${mode.toString(8)}`;
  if ((mode & 0o022) === 0) return ok('policy file', found);
  return fail('policy file', found, 'Other users of this machine can change who may do what.', `chmod go-w ${path}`);
}

function checkFolder(path: string): Finding {
  const mode = modeOf(path);
  if (mode === undefined)
    return fail(
      'data folder',
      `${path} cannot be read`,
      'There is no such folder, or this user may not read it.',
      'Set --data-dir to the folder of WEIR_DATA_DIR, and run this as the user of the server.',
    );
  return checkMode('data folder', path);
}

function checkMode(check: string, path: string): Finding {
  const mode = modeOf(path);
  if (mode === undefined)
    return warn(
      check,
      `${path} is not there`,
      'No server has used this folder.',
      'Set --data-dir to the folder of WEIR_DATA_DIR.',
    );
  const found = `${path}, ${mode.toString(8)}`;
  if ((mode & 0o077) === 0) return ok(check, found);
  return fail(check, found, 'Other users of this machine can read the data.', `chmod go-rwx ${path}`);
}

function modeOf(path: string): number | undefined {
  try {
    return statSync(path).mode & 0o777;
  } catch {
    return undefined;
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
