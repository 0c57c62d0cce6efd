// Contexts: named servers with their tokens, in a file that only its owner can read.
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CliError, exitCodes, usageError } from './errors.ts';

/** How to reach a cluster. */
interface Context {
  /** One broker, or several with commas between them. */
  url: string;
  /** The token, or `@FILE`. */
  token?: string;
  /** PEM file with the certificate authorities of the server. */
  cacert?: string;
  /** PEM files with the certificate of this client, and its key. */
  cert?: string;
  key?: string;
}

interface Contexts {
  /** The context that is used where none is named. */
  current?: string;
  contexts: { [name: string]: Context };
}

/** Bits of a file's mode that let others than its owner do something. */
const othersMask = 0o077;
const namePattern = /^[A-Za-z0-9._-]{1,64}$/;

export class ContextFile {
  readonly path: string;

  /** @param env where the folder of configurations is named: `XDG_CONFIG_HOME`, or `HOME` */
  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.path = join(env.XDG_CONFIG_HOME || join(env.HOME ?? '.', '.config'), 'weir', 'config.yaml');
  }

  /** The contexts; none if there is no file. @throws CliError if the file is not one of contexts, or others can read it */
  async read(): Promise<Contexts> {
    let text: string;
    try {
      const { mode } = await stat(this.path);
      if ((mode & othersMask) !== 0) {
        const octal = (mode & 0o777).toString(8);
        throw usageError(
          `${this.path} has the mode ${octal}, so others can read its tokens. Run: chmod 600 '${this.path}'`,
        );
      }
      text = await readFile(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { contexts: {} };
      throw error;
    }
    const { parse } = await import('yaml');
    try {
      return contextsOf(parse(text));
    } catch (error) {
      throw usageError(`${this.path} is not a file of contexts: ${(error as Error).message}`);
    }
  }

  /** The context `name`. @throws CliError if there is none */
  async get(name: string): Promise<Context> {
    const { contexts } = await this.read();
    const context = contexts[name];
    if (!context) throw unknownContext(name, contexts);
    return context;
  }

  /** Changes the contexts as one write of the whole file: a reader sees all of it or nothing. */
  async change(edit: (contexts: Contexts) => void): Promise<void> {
    const contexts = await this.read();
    edit(contexts);
    const { stringify } = await import('yaml');
    await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
    const temporary = `${this.path}.${randomBytes(6).toString('hex')}`;
    try {
      await writeFile(temporary, stringify(contexts), { mode: 0o600, flag: 'wx' });
      await chmod(temporary, 0o600);
      await rename(temporary, this.path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
}

/** @throws CliError if it is no name of a context */
export function checkContextName(name: string): void {
  if (!namePattern.test(name)) {
    throw usageError(`"${name}" is no name of a context: it has 1 to 64 of the characters A-Z a-z 0-9 . _ -.`);
  }
}

export function unknownContext(name: string, contexts: Contexts['contexts']): CliError {
  const known = Object.keys(contexts);
  const others = known.length === 0 ? 'there are none yet: weir context add' : `there are ${known.join(', ')}`;
  return new CliError(`There is no context "${name}"; ${others}.`, exitCodes.notFound);
}

function contextsOf(value: unknown): Contexts {
  if (value === null || value === undefined) return { contexts: {} };
  const { current, contexts = {} } = value as Partial<Contexts>;
  if (typeof value !== 'object' || typeof contexts !== 'object') throw new Error('it has no map of contexts');
  for (const [name, context] of Object.entries(contexts)) {
    if (typeof context?.url !== 'string') throw new Error(`the context "${name}" has no url`);
  }
  return { ...(current !== undefined && { current: String(current) }), contexts: { ...contexts } };
}
