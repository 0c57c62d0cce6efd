/** Encodes the bytes of a node for JSON: as text if they are UTF-8, else as base64. */
import { isUtf8 } from 'node:buffer';

interface JsonData {
  data: string;
  encoding: 'utf8' | 'base64';
}

export function toJsonData(data: Buffer): JsonData {
  return isUtf8(data)
    ? { data: data.toString('utf8'), encoding: 'utf8' }
    : { data: data.toString('base64'), encoding: 'base64' };
}

/** As toJsonData(), for the beginning of longer data: a character that was split by the cut is left out, so that text stays text. */
export function toTruncatedJsonData(start: Buffer): JsonData {
  for (let split = 1; split <= 3 && !isUtf8(start); split++) {
    const whole = start.subarray(0, start.length - split);
    if (isUtf8(whole)) return toJsonData(whole);
  }
  return toJsonData(start);
}
