// What commands read: files, stdin, and the user's consent.
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Cli } from './cli.ts';
import { CliError, exitCodes } from './errors.ts';

/** The largest file that is read as a whole; the server takes no larger request. */
const inputBytesMax = 256 * 1024 * 1024;
/** The longest line: the server takes no record of that size. */
const lineBytesMax = 64 * 1024 * 1024;
const lineFeed = 10;

/** A file as a whole; `-` is stdin. @throws CliError if it cannot be read, or is too large */
export async function readInput(cli: Cli, file: string): Promise<Uint8Array> {
  if (file !== '-') {
    try {
      const { size } = await stat(file);
      if (size > inputBytesMax)
        throw new Error(`it has ${size} bytes, and at most ${inputBytesMax} can be sent at once`);
      return await readFile(file, { signal: cli.signal });
    } catch (error) {
      throw unreadable(file, error);
    }
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of cli.io.stdin as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > inputBytesMax) throw new CliError(`stdin has more than ${inputBytesMax} bytes.`);
    chunks.push(chunk);
    if (cli.signal.aborted) break;
  }
  return Buffer.concat(chunks);
}

/** The lines of a file, or of stdin for `-`. @param read is told how many bytes have been read of how many, if that is known */
export async function* linesOf(
  cli: Cli,
  file: string,
  read: (bytes: number, of: number | undefined) => void = () => {},
): AsyncGenerator<string, void, undefined> {
  const isStdin = file === '-';
  let total: number | undefined;
  try {
    total = isStdin ? undefined : (await stat(file)).size;
  } catch (error) {
    throw unreadable(file, error);
  }
  const input = isStdin ? cli.io.stdin : createReadStream(file);
  let [bytes, sinceLineFeed] = [0, 0];
  input.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    const at = chunk.lastIndexOf(lineFeed);
    sinceLineFeed = at < 0 ? sinceLineFeed + chunk.length : chunk.length - 1 - at;
    if (sinceLineFeed > lineBytesMax) input.destroy(new Error(`a line has more than ${lineBytesMax} bytes`));
    read(bytes, total);
  });
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  const close = () => lines.close();
  cli.signal.addEventListener('abort', close, { once: true });
  const failed = new Promise<never>((_resolve, reject) =>
    input.once('error', (error: Error) => reject(unreadable(file, error))),
  );
  failed.catch(() => {});
  const iterator = lines[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), failed]).catch((error: unknown) => {
        throw error instanceof CliError ? error : unreadable(file, error);
      });
      if (next.done || cli.signal.aborted) return;
      yield next.value;
    }
  } finally {
    cli.signal.removeEventListener('abort', close);
    lines.close();
    if (!isStdin) input.destroy();
  }
}

/**
 * Asks before something is deleted. It asks on a terminal only, and not with --yes: scripts have said what they want.
 * @throws CliError if the user does not want it
 */
export async function confirm(cli: Cli, question: string): Promise<void> {
  if (cli.globals.yes || cli.io.stdin.isTTY !== true) return;
  const terminal = createInterface({ input: cli.io.stdin, output: process.stderr });
  try {
    const reply = await new Promise<string>((resolve) => {
      terminal.once('close', () => resolve(''));
      terminal.question(`${question} [y/N] `, resolve);
    });
    if (!/^y(es)?$/i.test(reply.trim())) throw new CliError('Nothing was done.', exitCodes.refused);
  } finally {
    terminal.close();
  }
}

/** With --dry-run: tells what would be done, and ends the command with the exit code for a difference. */
export function dryRun(cli: Cli, what: string): void {
  if (!cli.globals.dryRun) return;
  cli.out.note(what);
  throw new CliError('', exitCodes.difference);
}

/** A file that the system does not let be read is a wrong argument, as an unknown option is; one that is too large was read in part. */
export function unreadable(file: string, error: unknown): CliError {
  const { code, message } = error as NodeJS.ErrnoException;
  const isArgument = file !== '-' && code !== undefined;
  return new CliError(
    `${file === '-' ? 'stdin' : file} cannot be read: ${message}`,
    isArgument ? exitCodes.usage : exitCodes.refused,
  );
}
