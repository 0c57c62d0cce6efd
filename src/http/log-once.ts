// Log lines about values that clients send: each value once, and a limited number of values, as clients can send any number of them.
import type { Logger } from 'pino';

const valuesMax = 100;
const charactersMax = 200;

/** @returns logs a value the first time that it is given */
export function createOnceLog(log: Logger, field: string, message: string): (value: string) => void {
  const logged = new Set<string>();
  return (value) => {
    const shown = value.slice(0, charactersMax);
    if (logged.has(shown) || logged.size >= valuesMax) return;
    logged.add(shown);
    const last = logged.size === valuesMax ? ' (others are no longer logged)' : '';
    log.warn({ [field]: shown }, `${message}${last}`);
  };
}
