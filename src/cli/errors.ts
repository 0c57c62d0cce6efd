// Failures of commands, and the exit code that each of them ends with.
import { constants } from 'node:os';
import type { WeirError } from '@weirkeeper/client';

/** The exit codes of all commands but those that run another command. */
export const exitCodes = {
  ok: 0,
  /** The server refused the request, or the command failed in another way. */
  refused: 1,
  /** The command line is wrong. */
  usage: 2,
  notFound: 3,
  /** The state is not the expected one: a version, a node that exists already, a fencing token that is too old. */
  conflict: 4,
  unreachable: 5,
  timeout: 6,
  /** A dry run found that there is something to change. */
  difference: 7,
} as const;

/** What each exit code means, for the help. */
export const exitCodeMeanings: readonly (readonly [code: number, meaning: string])[] = [
  [exitCodes.ok, 'success'],
  [exitCodes.refused, 'refused, or failed in another way'],
  [
    exitCodes.usage,
    'wrong usage, a wrong option of weir serve among it, or a file, token, certificate or context that cannot be used',
  ],
  [exitCodes.notFound, 'not found'],
  [exitCodes.conflict, 'conflict: another version, exists already, fenced'],
  [exitCodes.unreachable, 'no server can be reached'],
  [exitCodes.timeout, 'not done in time'],
  [exitCodes.difference, 'a dry run found a difference'],
];

/** A failure with its exit code. The message is for the user, and says what to do. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: number;

  constructor(message: string, exitCode: number = exitCodes.refused) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The command line is wrong in a way that only the command itself can see. */
export function usageError(message: string): CliError {
  return new CliError(message, exitCodes.usage);
}

/** Ends a command without a message: whoever reads its output has gone, or the user has interrupted it. */
export class Ended extends Error {
  override readonly name = 'Ended';
  readonly by: 'pipe' | NodeJS.Signals;

  constructor(by: 'pipe' | NodeJS.Signals) {
    super(by);
    this.by = by;
  }

  get exitCode(): number {
    return this.by === 'pipe' ? exitCodes.ok : signalExitCode(this.by);
  }
}

/** What a shell reports of a command that a signal has ended. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

const unreachableCodes: ReadonlySet<string> = new Set(['UNREACHABLE', 'LOADING', 'STORE_UNAVAILABLE']);

/** What the server says of its API, as the command line has it. */
const commandsFor: readonly (readonly [api: string, command: string])[] = [
  ['POST /v1/topics creates one', 'weir topic create makes one'],
  ['Send a token: Authorization: Bearer weir_…', 'Give a token: --token, WEIR_TOKEN, or a context'],
  [
    'PUT and POST of a node, and imports, also take parents=true',
    '-p of weir node set, create and import makes missing parents',
  ],
  ['DELETE of a node also takes recursive=true', 'weir node rm -r deletes all of it'],
];

/** What an error says, with commands in the place of requests. */
export function detailOf({ detail, cause }: Pick<WeirError, 'detail' | 'cause'>): string {
  const text = commandsFor.reduce((text, [api, command]) => text.replace(api, command), detail);
  // What fetch throws has the error of the connection inside.
  const { code } = ((cause as Error | undefined)?.cause ?? {}) as { code?: unknown };
  const remedy = typeof code === 'string' ? remedies.get(code) : undefined;
  return remedy === undefined ? text : text.replace(/\.?$/, `; ${remedy}.`);
}

const untrusted = 'WEIR_CACERT, or --cacert of weir context add, names the authorities to trust';

/** What to do about a connection that cannot be made, by the code of Node.js. */
const remedies: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'start a server there with weir serve, or name another with -u URL or WEIR_URL'],
  ['ENOTFOUND', 'check the host in -u URL or WEIR_URL'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', untrusted],
  ['SELF_SIGNED_CERT_IN_CHAIN', untrusted],
  ['UNABLE_TO_GET_ISSUER_CERT', untrusted],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', untrusted],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', untrusted],
]);

/** The exit code for an error of the client. */
export function exitCodeOf({ code, status }: Pick<WeirError, 'code' | 'status'>): number {
  if (unreachableCodes.has(code)) return exitCodes.unreachable;
  if (code === 'MISCONFIGURED') return exitCodes.usage;
  if (code === 'REQUEST_TIMEOUT') return exitCodes.timeout;
  if (status === 404 || status === 410) return exitCodes.notFound;
  if (status === 409 || status === 412) return exitCodes.conflict;
  return exitCodes.refused;
}
