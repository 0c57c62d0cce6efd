// Secrets from files: the twins of options that hold a secret, as files are neither in the environment nor in the list of processes. And
// warnings of files that others can read or change.
import { readFileSync, statSync } from 'node:fs';
import type { Config } from './options.ts';

/** The longest secret, bytes; a larger file is not one. */
const secretBytesMax = 64 * 1024;
/** Bits of a file's mode for users that are neither its owner nor of its group. */
const othersRead = 0o004;
const othersWrite = 0o002;

/**
 * Reads a secret from a file; a line feed at its end does not count.
 * @param name the option that names the file
 * @throws Error that says what is wrong, without what is in the file
 */
export function readSecretFile(name: string, file: string): string {
  let text: string;
  try {
    if (statSync(file).size > secretBytesMax) throw new Error(`it has more than ${secretBytesMax} bytes`);
    text = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new Error(`${name} is ${file}, which cannot be read: ${(error as Error).message}`);
  }
  if (text === '') throw new Error(`${name} is ${file}, which is empty`);
  return text;
}

/** What should be repaired about the modes of the files of a configuration, and how it came to its secrets: one sentence each. */
export function securityWarnings(
  config: Config,
  secretFiles: readonly string[],
  secretFlags: readonly string[],
): string[] {
  const { tlsKey, redisTlsKey, accessFile, tlsCert, tlsClientCa, advertisedUrl } = config;
  const secret = [...secretFiles, tlsKey, redisTlsKey].filter((file) => file !== undefined);
  const trusted = [...secret, accessFile, tlsCert, tlsClientCa].filter((file) => file !== undefined);
  const warnings = [
    ...secretFlags.map(
      (flag) =>
        `${flag} is a secret on the command line, which all users of this machine can see; use ${flag}-file or the environment`,
    ),
    ...secret
      .filter((file) => hasMode(file, othersRead))
      .map((file) => `All users of this machine can read ${file}, which is a secret: chmod o-r it`),
    ...trusted
      .filter((file) => hasMode(file, othersWrite))
      .map((file) => `All users of this machine can change ${file}: chmod o-w it`),
  ];
  if (tlsCert !== undefined && advertisedUrl?.startsWith('http:')) {
    warnings.push(`WEIR_ADVERTISED_URL is ${advertisedUrl}, but this server takes TLS only: clients need https`);
  }
  return warnings;
}

function hasMode(file: string, bits: number): boolean {
  try {
    return (statSync(file).mode & bits) !== 0;
  } catch {
    // Whoever reads the file says that it is not there.
    return false;
  }
}
