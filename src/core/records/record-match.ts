// Finds out whether a record has a key, or contains a text. Most records are decided without being parsed.
import { JsonScanner, noPosition } from '../json-scanner.ts';

interface RecordFilter {
  /** The whole key. */
  key?: string | undefined;
  /** A part of the key, the value or the headers. */
  contains?: string | undefined;
}

/**
 * Makes the test of a filter.
 * @returns a function that takes the JSON of a stored record
 */
export function recordTest({ key, contains }: RecordFilter): (json: string) => boolean {
  if (key === undefined && contains === undefined) return () => true;
  return (json) => {
    // Without escapes and base64 a text stands in the JSON as it is.
    const isPlain = !json.includes('\\') && !json.includes('Base64":') && !json.includes('"base64":');
    if (isPlain && [key, contains].some((text) => text !== undefined && !/["\\]/.test(text) && !json.includes(text))) {
      return false;
    }
    const texts = textsOf(json);
    if (key !== undefined && texts.key !== key) return false;
    return contains === undefined || [texts.key, texts.value, texts.headers].some((text) => text?.includes(contains));
  };
}

/** The texts of a record in which a reader would look: strings without their quotes and escapes, bytes as UTF-8, other JSON as written. */
function textsOf(json: string): { key?: string; value?: string; headers?: string } {
  const texts: { key?: string; value?: string; headers?: string } = {};
  for (const [name, start, end] of membersOf(json)) {
    if (name === 'key' || name === 'value' || name === 'headers') texts[name] = textIn(json, start, end);
    else if (name === 'keyBase64') texts.key = bytesIn(json, start, end);
    else if (name === 'valueBase64') texts.value = bytesIn(json, start, end);
  }
  return texts;
}

function* membersOf(json: string): Generator<[name: string, start: number, end: number]> {
  const scanner = new JsonScanner(json, true);
  let at = scanner.skipSpace(1);
  while (json[at] === '"') {
    const nameEnd = scanner.skipString(at);
    const start = scanner.skipColon(nameEnd);
    let end = scanner.skipValue(start);
    while (scanner.isInterrupted) {
      while (!scanner.resume());
      end = scanner.skipValue(start);
    }
    if (end === noPosition) throw new Error('A stored record is not JSON');
    yield [JSON.parse(json.slice(at, nameEnd)) as string, start, end];
    at = scanner.skipSpace(end);
    if (json[at] === ',') at = scanner.skipSpace(at + 1);
  }
}

function textIn(json: string, start: number, end: number): string {
  if (json[start] === '"') return JSON.parse(json.slice(start, end)) as string;
  const written = json.slice(start, end);
  // Numbers stay as they were written unless a string beside them has escapes.
  return written.includes('\\') ? JSON.stringify(JSON.parse(written)) : written;
}

function bytesIn(json: string, start: number, end: number): string {
  return Buffer.from(textIn(json, start, end), 'base64').toString();
}
