// Makes a line for people from an entry of the log: time, level, message, and what it names as name=value.
import { styleText } from 'node:util';

/** An entry of the log, as pino writes it. */
export interface LogEntry {
  level: number;
  time: number;
  msg?: string;
  err?: { message?: string; stack?: string };
  [field: string]: unknown;
}

interface LineStyle {
  /** Whether the reader is a terminal that shows colours. */
  colour: boolean;
  /** Whether objects and stack traces are shown, too. */
  isVerbose: boolean;
}

type Format = Parameters<typeof styleText>[0];

/** The name of a level in a line; information needs none. */
function levelOf(level: number): { name: string; format: Format } {
  if (level >= 60) return { name: 'FATAL', format: ['bold', 'red'] };
  if (level >= 50) return { name: 'ERROR', format: 'red' };
  if (level >= 40) return { name: 'WARN', format: 'yellow' };
  if (level >= 30) return { name: '', format: 'reset' };
  return { name: level >= 20 ? 'debug' : 'trace', format: 'dim' };
}

/** Fields that every entry has, or that stand elsewhere in the line. */
const unnamed = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'err']);

/** A value longer than this has its end left out; the form for programs has all of it. */
const valueCharactersMax = 300;

/** One line, without its end; in verbose style a stack trace follows on lines of its own. */
export function readableLine(entry: LogEntry, { colour, isVerbose }: LineStyle): string {
  const paint = (format: Format, text: string) =>
    colour && text !== '' ? styleText(format, text, { validateStream: false }) : text;
  const { name, format } = levelOf(entry.level);
  const failure = entry.err?.message === undefined ? '' : `: ${printable(entry.err.message)}`;
  const fields = Object.entries(entry).flatMap(([field, value]) => {
    const text = unnamed.has(field) ? undefined : fieldText(value, isVerbose);
    return text === undefined ? [] : `${paint('dim', `${printable(field)}=`)}${text}`;
  });
  const level = name === '' ? [] : [paint(format, name)];
  const words = [paint('dim', clock(entry.time)), ...level, `${printable(entry.msg ?? '')}${failure}`, ...fields];
  const trace = isVerbose && entry.err?.stack !== undefined ? `\n${traceOf(entry.err.stack)}` : '';
  return `${words.join(' ')}${trace}`;
}

/** A text without characters that a terminal would act on: a client may have chosen it. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    character < ' ' ? JSON.stringify(character).slice(1, -1) : `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}

function fieldText(value: unknown, isVerbose: boolean): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'object') {
    const isShort = Array.isArray(value) && value.every((item) => typeof item !== 'object');
    if (!isVerbose && !isShort) return undefined;
    return shortened(printable(JSON.stringify(value)), isVerbose);
  }
  const text = printable(String(value));
  return shortened(/^[^\s"=]+$/.test(text) ? text : `"${text.replaceAll('"', '\\"')}"`, isVerbose);
}

function shortened(text: string, isVerbose: boolean): string {
  return isVerbose || text.length <= valueCharactersMax ? text : `${text.slice(0, valueCharactersMax)}…`;
}

function traceOf(stack: string): string {
  return stack
    .split('\n')
    .slice(1)
    .map((line) => `    ${printable(line.trim())}`)
    .join('\n');
}

/** The time of day of this machine, such as `14:03:07`. */
function clock(ms: number): string {
  const date = new Date(ms);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':');
}
