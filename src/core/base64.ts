// Base64 as the API takes it: the usual alphabet, with padding.

const base64 = /^[A-Za-z0-9+/]*={0,2}$/;
const restOfString = /[A-Za-z0-9+/]*={0,2}"/y;

export function isBase64(value: unknown): value is string {
  return typeof value === 'string' && value.length % 4 === 0 && base64.test(value);
}

/**
 * Whether a value of JSON is a string that is base64 as it stands, without escapes.
 * @param text it stands in it from `start` to `end`
 */
export function isBase64String(text: string, start: number, end: number): boolean {
  if (text[start] !== '"' || (end - start - 2) % 4 !== 0) return false;
  restOfString.lastIndex = start + 1;
  return restOfString.test(text) && restOfString.lastIndex === end;
}
