// Log lines about values that clients send. Each value is logged once, and only a limited number of values: clients can send any number.
import type { Logger } from 'pino';

const valuesMax = 100;
const charactersMax = 200;

/**
 * @param field the name of the value in the log line
 * @returns a function that logs a value the first time that it is called with it
 */
export function createOnceLog(log: Logger, field: string, message: string): (value: string) => void {
  const logged = new Set<string>();
  return (value) => {
    const shown = value.slice(0, charactersMax);
    if (logged.has(shown) || logged.size >= valuesMax) return;
    logged.add(shown);
    const last = logged.size === valuesMax ? ' (further values are not logged)' : '';
    log.warn({ [field]: shown }, `${message}${last}`);
  };
}
