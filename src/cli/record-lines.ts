// Lines as records: texts, JSON values, or whole records as JSON.
import type { LogRecord, RecordInput } from '@weirkeeper/client';
import { usageError } from './errors.ts';
import { keyBytes } from './record-text.ts';

/** How a line is read. */
interface LineOptions {
  /** What is before this text is the key. */
  keySeparator?: string;
  /** The key of all records. */
  key?: string;
  /** Values are JSON. */
  json?: boolean;
  /** Lines are whole records. */
  records?: boolean;
}

/** The record of a line. @param number for errors, from 1 @throws CliError if the line is not what the options say */
export function recordInputOf(line: string, number: number, options: LineOptions): RecordInput {
  if (options.records) return wholeRecord(line, number);
  const { keySeparator } = options;
  const at = keySeparator === undefined ? -1 : line.indexOf(keySeparator);
  if (keySeparator !== undefined && at < 0) {
    throw usageError(
      `Line ${number} has no ${JSON.stringify(keySeparator)}, which separates the key from the value (-K).`,
    );
  }
  const key = at < 0 ? options.key : line.slice(0, at);
  const text = at < 0 ? line : line.slice(at + (keySeparator?.length ?? 0));
  return { ...(key !== undefined && { key }), value: options.json ? jsonOf(text, number) : text };
}

/** A record as the API writes it, such as one of `weir consume -o ndjson`. Its offset is left out. */
function wholeRecord(line: string, number: number): RecordInput {
  const value = jsonOf(line, number);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw usageError(`Line ${number} is no record; a record is {"key":…,"value":…}.`);
  }
  const record = value as LogRecord & { partition?: number };
  const headers = Array.isArray(record.headers) ? Object.fromEntries(record.headers) : record.headers;
  return {
    ...((record.key !== undefined || record.keyBase64 !== undefined) && {
      key: record.key === null ? null : keyBytes(record),
    }),
    ...(record.valueBase64 !== undefined
      ? { value: Buffer.from(record.valueBase64, 'base64') }
      : record.value !== undefined && { value: record.value }),
    ...(headers && {
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, each]) => [
          name,
          each !== null && typeof each === 'object' ? Buffer.from(each.base64, 'base64') : each,
        ]),
      ),
    }),
    ...(record.timestamp !== undefined && { timestamp: record.timestamp }),
  };
}

function jsonOf(text: string, number: number): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw usageError(`Line ${number} is not JSON: ${(error as Error).message}`);
  }
}
