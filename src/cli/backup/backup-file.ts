// The file of a backup: lines of JSON, compressed or not. The last line has the number of lines and a checksum of all before it, so that a
// file that was cut short, or changed, is refused.
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { PassThrough, type Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { CliError } from '../errors.ts';
import { unreadable } from '../input.ts';
import type { BackupLine, EndCounts, EndLine, HeaderLine, RecordLine } from './backup-lines.ts';

/** The longest line: the largest record or node that a server takes, and what stands around it. */
const lineBytesMax = 64 * 1024 * 1024;

/** Takes the lines of a backup. A file gets its name when it is complete. */
export class BackupWriter {
  readonly #hash = createHash('sha256');
  readonly #input = new PassThrough({ highWaterMark: 4 * 1024 * 1024 });
  readonly #done: Promise<void>;
  readonly #path: string | undefined;
  #lines = 0;
  #bytes = 0;

  private constructor(output: Writable, isCompressed: boolean, path?: string) {
    this.#path = path;
    this.#done = isCompressed ? pipeline(this.#input, createGzip(), output) : pipeline(this.#input, output);
    this.#done.catch(() => {});
  }

  /** Writes to a file that only this user may read; compressed if its name ends with .gz. */
  static toFile(path: string): BackupWriter {
    const output = createWriteStream(partialOf(path), { mode: 0o600, flush: true });
    return new BackupWriter(output, path.endsWith('.gz'), path);
  }

  /** @param write puts bytes on their way, and resolves when more may follow */
  static toStream(write: (bytes: Uint8Array) => Promise<void>): BackupWriter {
    const output = new Writable({
      write: (chunk, _encoding, done) => {
        write(chunk).then(() => done(), done);
      },
    });
    return new BackupWriter(output, false);
  }

  /** Bytes before compression. */
  get bytes(): number {
    return this.#bytes;
  }

  line(line: HeaderLine | BackupLine): Promise<void> {
    return this.text(`${JSON.stringify(line)}\n`, 1);
  }

  /** Writes whole lines, and resolves when there is room for more. */
  async text(text: string, lines: number): Promise<void> {
    const bytes = Buffer.from(text);
    this.#hash.update(bytes);
    this.#lines += lines;
    await this.#put(bytes);
  }

  /** Writes the last line, and gives the file its name. */
  async finish(counts: EndCounts): Promise<void> {
    const end: EndLine = { type: 'end', ...counts, lines: this.#lines, sha256: this.#hash.digest('hex') };
    await this.#put(Buffer.from(`${JSON.stringify(end)}\n`));
    this.#input.end();
    await this.#done;
    if (this.#path !== undefined) await rename(partialOf(this.#path), this.#path);
  }

  /** Gives up: deletes what was written. */
  async discard(): Promise<void> {
    this.#input.destroy();
    await this.#done.catch(() => {});
    if (this.#path !== undefined) await rm(partialOf(this.#path), { force: true });
  }

  async #put(bytes: Buffer): Promise<void> {
    this.#bytes += bytes.length;
    if (this.#input.write(bytes)) return;
    // A failure of the output ends the wait.
    await Promise.race([this.#done, new Promise((resolve) => this.#input.once('drain', resolve))]);
  }
}

function partialOf(path: string): string {
  return `${path}.partial`;
}

/** The lines of a file without the last one, which is checked. @throws CliError if it is no complete backup */
export async function* readBackup(path: string): AsyncGenerator<HeaderLine | BackupLine | RecordLine, void, undefined> {
  const hash = createHash('sha256');
  let lines = 0;
  let end: EndLine | undefined;
  for await (const bytes of linesOf(path)) {
    if (end) throw damaged(path, 'there are lines behind the last one');
    const line = parseLine(path, bytes, lines);
    if (line.type === 'end') {
      end = line;
      continue;
    }
    hash.update(bytes).update('\n');
    lines += 1;
    yield line;
  }
  if (!end) throw damaged(path, 'its end is missing');
  if (end.lines !== lines) throw damaged(path, `it has ${lines} lines of ${end.lines}`);
  if (end.sha256 !== hash.digest('hex')) throw damaged(path, 'its checksum is another one');
}

/** The first line. @throws CliError if it is no backup that this version can read */
function headerOf(path: string, line: HeaderLine | BackupLine | EndLine | RecordLine): HeaderLine {
  if (line.type !== 'backup') throw new CliError(`${path} is no backup of Weirkeeper: its first line is another one.`);
  if (line.version !== 1)
    throw new CliError(
      `${path} has version ${line.version} of the format; this program reads version 1. Use a newer one.`,
    );
  return line;
}

const recordPattern = /^\{"type":"record","topic":"([\w.-]{1,249})","partition":(\d+),"record":\{"offset":(\d+),/;

function parseLine(path: string, bytes: Buffer, index: number): HeaderLine | BackupLine | EndLine | RecordLine {
  const text = bytes.toString('utf8');
  const record = recordPattern.exec(text);
  if (record && index > 0) {
    const [head, topic = '', partition, offset] = record;
    // The record stays the text that it is: parsed, a number beyond 2^53 would become another one.
    return {
      type: 'record',
      topic,
      partition: Number(partition),
      offset: Number(offset),
      text: `{${text.slice(head.length, -1)}`,
    };
  }
  let line: HeaderLine | BackupLine | EndLine;
  try {
    line = JSON.parse(text);
  } catch {
    if (index === 0) throw new CliError(`${path} is no backup of Weirkeeper: its first line is no JSON.`);
    throw damaged(path, `line ${index + 1} is no JSON`);
  }
  return index === 0 ? headerOf(path, line) : line;
}

/** The lines of a file, which may be compressed, without their line feeds. (node:readline takes U+2028 for the end of a line, too.) */
async function* linesOf(path: string): AsyncGenerator<Buffer, void, undefined> {
  // Looked at first: a stream that is not read yet would throw what it cannot open at the process.
  const isCompressed = await isGzip(path);
  const file = createReadStream(path, { highWaterMark: 1024 * 1024 });
  let source: Readable = file;
  if (isCompressed) {
    const gunzip = createGunzip();
    // A failure of either is seen by whoever reads the result.
    pipeline(file, gunzip).catch(() => {});
    source = gunzip;
  }
  let parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      let from = 0;
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
        parts.push(chunk.subarray(from, at));
        yield parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
        parts = [];
        length = 0;
        from = at + 1;
      }
      if (from === chunk.length) continue;
      parts.push(chunk.subarray(from));
      length += chunk.length - from;
      if (length > lineBytesMax) throw damaged(path, `a line has more than ${lineBytesMax} bytes`);
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw damaged(path, (error as Error).message);
  } finally {
    file.destroy();
  }
  if (length > 0) throw damaged(path, 'its last line is not complete');
}

async function isGzip(path: string): Promise<boolean> {
  const refuse = (error: Error) => {
    throw unreadable(path, error);
  };
  const handle = await open(path, 'r').catch(refuse);
  try {
    // A folder can be opened, and not read.
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0).catch(refuse);
    return bytesRead === 2 && buffer.readUInt16BE(0) === 0x1f8b;
  } finally {
    await handle.close();
  }
}

function damaged(path: string, why: string): CliError {
  return new CliError(
    `${path} is no complete backup: ${why}. Nothing was restored from it. Make the backup again, or copy the file again.`,
  );
}
