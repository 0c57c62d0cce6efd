// What a check has found.

export interface Finding {
  check: string;
  status: 'ok' | 'warn' | 'fail';
  /** The value that was found. */
  found: string;
  /** What that means; for what is not ok. */
  means?: string;
  /** What to do about it. */
  remedy?: string;
}

export function ok(check: string, found: string): Finding {
  return { check, status: 'ok', found };
}

export function warn(check: string, found: string, means: string, remedy: string): Finding {
  return { check, status: 'warn', found, means, remedy };
}

export function fail(check: string, found: string, means: string, remedy: string): Finding {
  return { check, status: 'fail', found, means, remedy };
}
