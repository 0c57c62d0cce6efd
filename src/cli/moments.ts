// Moments and offsets, as users write them.
import { parseDuration } from '../../schemas/duration-text.ts';
import { usageError } from './errors.ts';

/** `@TIME`: ms since 1970, a date, or how long ago, such as `@1796000000000`, `@2026-11-30T12:00:00Z`, `@1h`. */
export function momentMs(text: string, nowMs: number): number {
  const time = text.replace(/^@/, '');
  const ago = /[a-z]$/.test(time) ? parseDuration(time) : undefined;
  if (ago !== undefined) return Math.max(0, nowMs - ago);
  const ms = /^\d+$/.test(time) ? Number(time) : Date.parse(time);
  if (!Number.isSafeInteger(ms) || ms < 0) {
    throw usageError(
      `"${text}" is no moment; write @2026-11-30T12:00:00Z, @1h (ago), or @1796000000000 (ms since 1970).`,
    );
  }
  return ms;
}

/** Where to begin to read a topic. */
export type Start =
  | { at: 'earliest' | 'latest' }
  | { offset: number }
  /** So many of the newest records. */
  | { last: number }
  | { timestamp: number };

/** Where `--from` says to begin: `earliest`, `latest`, an offset, `-10` for the last ten, `@TIME`. */
export function startOf(text: string, nowMs: number): Start {
  if (text === 'earliest' || text === 'latest') return { at: text };
  if (/^-[1-9]\d{0,8}$/.test(text)) return { last: -Number(text) };
  if (/^\d{1,15}$/.test(text)) return { offset: Number(text) };
  if (text.startsWith('@')) return { timestamp: momentMs(text, nowMs) };
  throw usageError(`--from is "${text}"; it is earliest, latest, an offset, -10 for the last 10 records, or @TIME.`);
}
