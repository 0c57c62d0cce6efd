// The lines of an NDJSON body, as they arrive.
import type { Readable } from 'node:stream';
import { ServiceError } from '../core/service-error.ts';
import { bodyPieces } from './body-pieces.ts';
import { GrowingBuffer } from './growing-buffer.ts';

interface BodyLine {
  /** From 1 on, blank lines counted. */
  number: number;
  /** Without the line feed; valid until the next lines are asked for. */
  bytes: Buffer;
}

interface BodyLinesOptions {
  lineBytesMax: number;
  /** What to do about a longer line, for the error. */
  remedy: string;
  /**
   * Called with how many bytes of a large line are in memory, whenever that changes; 0 when it is read.
   * @throws ServiceError if there is no room for them
   */
  countLine(bytes: number): void;
}

const lineFeed = 10;

/**
 * Gives the lines of each piece of a body that arrives, without blank ones.
 * @throws ServiceError TOO_LARGE for a line over the limit; BAD_REQUEST if the connection is lost; those of countLine()
 */
export async function* bodyLines(source: Readable, options: BodyLinesOptions): AsyncGenerator<BodyLine[]> {
  const rest = new GrowingBuffer(options.countLine);
  let number = 0;
  const split = (bytes: Buffer): BodyLine[] => {
    const lines: BodyLine[] = [];
    let from = 0;
    for (;;) {
      const end = bytes.indexOf(lineFeed, from);
      const line = bytes.subarray(from, end < 0 ? bytes.length : end);
      number += 1;
      if (!isBlank(line)) lines.push({ number, bytes: line });
      if (end < 0) return lines;
      from = end + 1;
    }
  };
  for await (const piece of bodyPieces(source)) {
    const end = piece.lastIndexOf(lineFeed);
    if (end >= 0) {
      rest.append(piece.subarray(0, end));
      yield split(rest.take());
      rest.shrink();
    }
    rest.append(piece.subarray(end + 1));
    if (rest.length > options.lineBytesMax) {
      const detail = `Line ${number + 1} has more than ${options.lineBytesMax} bytes. ${options.remedy}`;
      throw new ServiceError('TOO_LARGE', detail, { line: number + 1, maxBytes: options.lineBytesMax });
    }
  }
  if (rest.length > 0) yield split(rest.take());
}

/** Spaces, tabs and carriage returns only. */
function isBlank(line: Buffer): boolean {
  for (const byte of line) if (byte !== 32 && byte !== 9 && byte !== 13) return false;
  return true;
}
