// Which server a command is for, and with which token: from the options, the environment, or a context, in this order.
import { readFile } from 'node:fs/promises';
import type { ContextFile } from './contexts.ts';
import { usageError } from './errors.ts';

/** What a file has, and where it is, for errors and curl. */
interface PemFile {
  path: string;
  text: string;
}

/** How to reach the server. */
export interface Target {
  url: string;
  token?: string;
  /** The certificate authorities of the server. */
  cacert?: PemFile;
  /** The certificate of this client, and its key. */
  cert?: PemFile;
  key?: PemFile;
  /** The context that this came from, if any. */
  context?: string;
}

/** What of the command line is about the server. */
interface TargetOptions {
  url?: string;
  token?: string;
  context?: string;
}

const defaultUrl = 'http://localhost:7070';

/**
 * The server of a command. A context that is named as an option comes before the environment; the current one comes after it. The
 * token and the certificate of a context are shown to no other server than that of the context.
 * @throws CliError if there is no such context, or a file cannot be read
 */
export async function targetOf(
  options: TargetOptions,
  env: Readonly<Record<string, string | undefined>>,
  file: ContextFile,
): Promise<Target> {
  const { WEIR_URL, WEIR_TOKEN, WEIR_CACERT, WEIR_CERT, WEIR_KEY, WEIR_CONTEXT } = env;
  const isElsewhere = options.url !== undefined || (options.context === undefined && Boolean(WEIR_URL));
  const named = options.context ?? (WEIR_CONTEXT || undefined);
  const name = named ?? (isElsewhere ? undefined : (await file.read()).current);
  const context = name === undefined || isElsewhere ? undefined : await file.get(name);
  const url = options.url ?? context?.url ?? (WEIR_URL || defaultUrl);
  const token = options.token ?? context?.token ?? (WEIR_TOKEN || undefined);
  const files = {
    cacert: context?.cacert ?? WEIR_CACERT,
    cert: context?.cert ?? WEIR_CERT,
    key: context?.key ?? WEIR_KEY,
  };
  const pems: { [name in keyof typeof files]?: PemFile } = {};
  for (const [what, path] of Object.entries(files)) {
    if (path)
      pems[what as keyof typeof files] = {
        path,
        text: await readText(
          path,
          context?.[what as keyof typeof files] ? `${what} of the context ${name}` : `WEIR_${what.toUpperCase()}`,
        ),
      };
  }
  return {
    url,
    ...(token !== undefined && { token: await tokenOf(token) }),
    ...pems,
    ...(context && name !== undefined && { context: name }),
  };
}

/** A token, or the first line of the file that `@FILE` names. */
async function tokenOf(text: string): Promise<string> {
  if (!text.startsWith('@')) return text;
  const path = text.slice(1);
  const token = (await readText(path, 'the token')).split(/\r?\n/)[0]?.trim() ?? '';
  if (token === '') throw usageError(`The first line of ${path} has no token; weir token new makes one.`);
  return token;
}

async function readText(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw usageError(`${path} (${what}) cannot be read: ${(error as Error).message}.`);
  }
}
