// A record as a row of the table: what it shows, made once.
import { keyPart, type PlacedRecord, placeOf, preview, sizeOf, valuePart } from './record-view.ts';

export interface RecordRow {
  record: PlacedRecord;
  /** `partition:offset` */
  place: string;
  /** Bytes. */
  size: number;
  key: string;
  value: string;
  isTombstone: boolean;
}

export function rowOf(record: PlacedRecord): RecordRow {
  const value = valuePart(record);
  return {
    record,
    place: placeOf(record),
    size: sizeOf(record),
    key: preview(keyPart(record), 80),
    value: preview(value),
    isTombstone: value.kind === 'none',
  };
}
