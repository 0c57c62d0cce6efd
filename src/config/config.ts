/**
 * Reads the configuration from environment variables and flags, and checks all of it before anything starts. No other file
 * reads either of them.
 */
import { homedir } from 'node:os';
import { delimiter, join, sep } from 'node:path';
import { parseArgs } from 'node:util';
import { distance } from 'fastest-levenshtein';
import { clientVariables, recordVariables } from './client-variables.ts';
import type { Option } from './option.ts';
import { brokerIdMax, type Config, options } from './options.ts';
import { packageVersion, projectRoot } from './package.ts';
import { describeRedisUrl, parseRedisUrl } from './redis-url.ts';
import { readSecretFile, securityWarnings } from './secret-files.ts';

export type { Config } from './options.ts';
export { packageVersion, projectRoot } from './package.ts';

/** What the command line requests: to run the server, or only to print `text`. */
type Invocation =
  /** `warnings`: what should be repaired, one sentence each. */
  | { kind: 'run'; config: Config; warnings: string[] }
  | { kind: 'help' | 'version'; text: string }
  | { kind: 'token'; id: string };

/** The configuration is not valid; the message has one line for each problem. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

const entries = Object.entries(options) as [keyof Config, Option<unknown>][];

/** Options that hold a secret: each can be given as a file instead, by its variable and `_FILE`, or its flag and `-file`. */
const secrets = entries.filter(([, { isSecret }]) => isSecret);

/** The variable that names the file of a secret. */
function fileVariableOf({ variable }: Pick<Option<unknown>, 'variable'>): string {
  return `${variable}_FILE`;
}

/** The flag that makes a token in place of a start. */
const printToken = 'print-token';

/** The name of an option on the command line, without the two dashes. */
export function flagOf({ variable }: Pick<Option<unknown>, 'variable'>): string {
  return variable.slice('WEIR_'.length).toLowerCase().replaceAll('_', '-');
}

/**
 * Reads the configuration. A flag takes precedence over its variable; an empty variable counts as absent. `--help` and
 * `--version` take precedence over everything else.
 * @param argv the arguments without the program's name; the command `serve` may stand first
 * @throws ConfigError with all problems at once
 */
export function loadConfig(
  env: Record<string, string | undefined> = process.env,
  argv: string[] = process.argv.slice(2),
): Invocation {
  const flags = parseFlags(argv[0] === 'serve' ? argv.slice(1) : argv);
  if (flags.values.has('help')) return { kind: 'help', text: helpText() };
  if (flags.values.has('version')) return { kind: 'version', text: packageVersion() };
  const tokenId = flags.values.get(printToken);
  if (tokenId !== undefined) {
    if (!/^[a-z0-9-]{1,64}$/.test(tokenId)) {
      throw new ConfigError(
        `--${printToken} is "${tokenId}"; the id of a token has 1 to 64 of the characters a-z 0-9 -, such as billing-2026.`,
      );
    }
    return { kind: 'token', id: tokenId };
  }

  const problems = [...flags.problems, ...unknownVariables(env)];
  const values: Partial<Record<keyof Config, unknown>> = {};
  const secretFiles = secrets.flatMap(([, option]) => secretFileOf(option, env, flags.values) ?? []);
  for (const [field, option] of entries) {
    const flag = flags.values.get(flagOf(option));
    const given = flag ?? (env[option.variable] || undefined);
    const text = option.isSecret ? secretOf(option, given, env, flags.values, problems) : (given ?? option.default);
    if (text === undefined || (text === '' && flag === undefined)) continue;
    const parsed = option.schema.safeParse(text);
    if (parsed.success) {
      values[field] = parsed.data;
      continue;
    }
    const name = flag === undefined ? option.variable : `--${flagOf(option)}`;
    const shown = option.isSecret ? '' : ` is ${JSON.stringify(text)}, which is not valid: it`;
    problems.push(`${name}${shown} ${parsed.error.issues[0]?.message ?? 'is not valid'}${kubernetesHint(text)}`);
  }
  const config = { corsOrigins: [], allowedHosts: [], trustProxy: [], ...values } as unknown as Config; // the type of `options` guarantees a schema for each field
  if (problems.length === 0) problems.push(...conflicts(config));
  if (problems.length > 0) throw new ConfigError(`${problems.join('\n')}\nSee --help for all options.`);
  const secretFlags = secrets.map(([, option]) => flagOf(option)).filter((flag) => flags.values.has(flag));
  const warnings = securityWarnings(
    config,
    secretFiles.map(({ file }) => file),
    secretFlags.map((flag) => `--${flag}`),
  );
  return { kind: 'run', config, warnings };
}

/** The file that a secret is to be read from, and the option that names it. */
function secretFileOf(
  option: Option<unknown>,
  env: Record<string, string | undefined>,
  flags: ReadonlyMap<string, string>,
): { name: string; file: string } | undefined {
  const variable = fileVariableOf(option);
  const flag = flags.get(flagOf({ variable }));
  if (flag !== undefined) return { name: `--${flagOf({ variable })}`, file: flag };
  const file = env[variable] || undefined;
  return file === undefined ? undefined : { name: variable, file };
}

/** @param given the secret itself, as it was given @param problems takes what is wrong with its file */
function secretOf(
  option: Option<unknown>,
  given: string | undefined,
  env: Record<string, string | undefined>,
  flags: ReadonlyMap<string, string>,
  problems: string[],
): string | undefined {
  const source = secretFileOf(option, env, flags);
  if (!source) return given;
  if (given !== undefined) {
    problems.push(`${option.variable} and ${source.name} are both set; leave one of them out`);
    return undefined;
  }
  try {
    return readSecretFile(source.name, source.file);
  } catch (error) {
    problems.push((error as Error).message);
    return undefined;
  }
}

/** The configuration without passwords, for the log. */
export function describeConfig(config: Config): Record<string, unknown> {
  return {
    ...config,
    ...(config.redisUrl !== undefined && { redisUrl: describeRedisUrl(config.redisUrl) }),
    ...(config.redisSentinelPassword !== undefined && { redisSentinelPassword: '***' }),
  };
}

/** The folders of the PATH, in order. */
export function commandSearchPath(env: Record<string, string | undefined> = process.env): string[] {
  return (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
}

/** The folder for this user's sockets (XDG_RUNTIME_DIR); undefined if the system has none. */
export function userRuntimeDir(env: Record<string, string | undefined> = process.env): string | undefined {
  return env.XDG_RUNTIME_DIR || undefined;
}

/**
 * The folder for programs that are installed for this server alone: `.redis` in a clone; for an installed package, whose folder an update
 * replaces and which may belong to root, one in the user's cache.
 */
export function installFolder(env: Record<string, string | undefined> = process.env, root = projectRoot()): string {
  if (!root.split(sep).includes('node_modules')) return join(root, '.redis');
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'weirkeeper');
}

function parseFlags(argv: string[]): { values: Map<string, string>; problems: string[] } {
  const values = new Map<string, string>();
  const problems: string[] = [];
  const known = new Map<string, Pick<Option<unknown>, 'placeholder'>>(
    entries.map(([, option]) => [flagOf(option), option]),
  );
  for (const [, option] of secrets) known.set(flagOf({ variable: fileVariableOf(option) }), { placeholder: 'file' });
  const types = [...known].map(
    ([flag, { placeholder }]) => [flag, { type: placeholder === undefined ? 'boolean' : 'string' }] as const,
  );
  const { tokens } = parseArgs({
    args: argv,
    // In strict mode parseArgs throws at the first problem; all problems should be reported at once.
    strict: false,
    tokens: true,
    options: {
      ...Object.fromEntries(types),
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean', short: 'v' },
      [printToken]: { type: 'string' },
    },
  });
  /** What follows an unknown flag is probably its value, and no mistake of its own. */
  let followsUnknown = false;
  for (const token of tokens) {
    if (token.kind === 'positional') {
      if (!followsUnknown)
        problems.push(`${JSON.stringify(token.value)} is not an option; the program takes only options`);
      followsUnknown = false;
    } else if (token.kind === 'option') {
      const option = known.get(token.name);
      followsUnknown = !option && !['help', 'version', printToken].includes(token.name);
      if (token.name === 'help' || token.name === 'version') values.set(token.name, '');
      else if (followsUnknown)
        problems.push(`${token.rawName} is unknown${suggestion(token.name, [...known.keys()], '--')}`);
      else if (option?.placeholder === undefined && token.name !== printToken)
        values.set(token.name, token.value ?? 'true');
      else if (token.value === undefined || (!token.inlineValue && token.value.startsWith('--'))) {
        problems.push(`${token.rawName} needs a value: ${token.rawName} <${option?.placeholder ?? 'id'}>`);
      } else values.set(token.name, token.value);
    }
  }
  return { values, problems };
}

function unknownVariables(env: Record<string, string | undefined>): string[] {
  const known = [
    ...entries.map(([, { variable }]) => variable),
    ...secrets.map(([, option]) => fileVariableOf(option)),
    ...Object.keys(clientVariables),
    ...recordVariables,
  ];
  return Object.keys(env)
    .filter((name) => name.startsWith('WEIR_') && !known.includes(name))
    .map((name) => `${name} is unknown${suggestion(name, known, '')}${kubernetesHint(env[name] ?? '')}`);
}

function suggestion(name: string, known: string[], prefix: string): string {
  const [best] = known.map((other) => ({ other, edits: distance(name, other) })).sort((a, b) => a.edits - b.edits);
  return best !== undefined && best.edits <= Math.max(2, name.replace(/^WEIR_/, '').length / 2)
    ? `; did you mean ${prefix}${best.other}?`
    : '';
}

function kubernetesHint(value: string): string {
  return value.startsWith('tcp://')
    ? ' (Kubernetes sets such variables for a Service named "weir": give the pod `enableServiceLinks: false`)'
    : '';
}

/** Problems of values that are valid alone, but not together. */
function conflicts(config: Config): string[] {
  const problems: string[] = [];
  if (config.sessionMinTtlMs > config.sessionMaxTtlMs) {
    problems.push(
      `WEIR_SESSION_MIN_TTL is ${config.sessionMinTtlMs} ms, which is more than WEIR_SESSION_MAX_TTL, ${config.sessionMaxTtlMs} ms`,
    );
  }
  if (config.maxNodeBytes > config.maxBodyBytes) {
    problems.push(
      `WEIR_MAX_NODE_BYTES is ${config.maxNodeBytes}, which is more than WEIR_MAX_BODY_BYTES, ${config.maxBodyBytes}: no request could contain such data`,
    );
  }
  if (!isLoopbackHost(config.host) && config.accessFile === undefined && !config.insecure) {
    problems.push(
      `WEIR_HOST is ${config.host}, which others can reach, and there is no WEIR_ACCESS_FILE: they could do everything. Write a policy (docs/security.md has one to begin with), listen on 127.0.0.1, or set WEIR_INSECURE=true if only trusted clients reach this address`,
    );
  }
  return [...problems, ...securityConflicts(config), ...workerConflicts(config), ...redisConflicts(config)];
}

function securityConflicts({ tlsCert, tlsKey, tlsClientCa, accessFile, auditFile, auditWrites }: Config): string[] {
  const problems: string[] = [];
  if (auditFile !== undefined && accessFile === undefined) {
    problems.push(
      'WEIR_AUDIT_FILE is set, but without WEIR_ACCESS_FILE nobody has an identity, and nothing is refused',
    );
  }
  if (auditWrites && auditFile === undefined) problems.push('WEIR_AUDIT_WRITES is set, but WEIR_AUDIT_FILE is not');
  problems.push(...pairConflict({ WEIR_TLS_CERT: tlsCert, WEIR_TLS_KEY: tlsKey }));
  if (tlsClientCa !== undefined && tlsCert === undefined) {
    problems.push('WEIR_TLS_CLIENT_CA is set, but without WEIR_TLS_CERT no client can send a certificate');
  }
  return problems;
}

/** @param pair a certificate and its key, by their variables */
function pairConflict(pair: Record<string, unknown>): string[] {
  const names = Object.keys(pair);
  const missing = names.filter((name) => pair[name] === undefined);
  if (missing.length !== 1) return [];
  return [`${names.join(' and ')} must be set together: ${missing[0]} is missing`];
}

/** The least part of WEIR_MAX_CONNECTIONS with which a worker can serve. */
const connectionsOfWorkerMin = 10;

function workerConflicts({ workers, brokerId, maxConnections }: Config): string[] {
  const problems: string[] = [];
  if (brokerId !== undefined && brokerId + workers - 1 > brokerIdMax) {
    problems.push(
      `WEIR_BROKER_ID is ${brokerId}, and with ${workers} workers the last one has the id ${brokerId + workers - 1}; the highest is ${brokerIdMax}`,
    );
  }
  if (maxConnections < workers * connectionsOfWorkerMin) {
    problems.push(
      `WEIR_MAX_CONNECTIONS is ${maxConnections}, but ${workers} workers need at least ${workers * connectionsOfWorkerMin}: ${connectionsOfWorkerMin} each`,
    );
  }
  return problems;
}

/** Whether an address to listen on can be reached from this machine only. */
function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function redisConflicts(config: Config): string[] {
  const location = config.redisUrl === undefined ? undefined : parseRedisUrl(config.redisUrl);
  const problems: string[] = [];
  for (const field of ['redisTlsCa', 'redisTlsCert', 'redisTlsKey', 'redisTlsServername'] as const) {
    if (config[field] !== undefined && !location?.tls) {
      problems.push(`${options[field].variable} is set, but WEIR_REDIS_URL does not use TLS (rediss://)`);
    }
  }
  problems.push(...pairConflict({ WEIR_REDIS_TLS_CERT: config.redisTlsCert, WEIR_REDIS_TLS_KEY: config.redisTlsKey }));
  for (const field of ['redisSentinelUsername', 'redisSentinelPassword'] as const) {
    if (config[field] !== undefined && location?.topology !== 'sentinel') {
      problems.push(`${options[field].variable} is set, but WEIR_REDIS_URL does not use Sentinel (redis+sentinel://)`);
    }
  }
  return problems;
}

/** A text as indented lines of at most 100 characters; longer words have a line of their own. */
function wrapped(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const longer = `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && longer.length <= 94) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.map((line) => `      ${line}`).join('\n');
}

function helpText(): string {
  const lines = entries.map(([, option]) => {
    const flag = `--${flagOf(option)}${option.placeholder === undefined ? '' : ` <${option.placeholder}>`}`;
    const value = option.default ? `default ${option.default}` : '';
    return `${`  ${flag.padEnd(38)}${option.variable.padEnd(30)}${value}`.trimEnd()}\n${wrapped(option.meaning)}`;
  });
  return `weir ${packageVersion()}: a server for coordination and logs over HTTP and WebSocket, on Redis

Usage: weir [serve] [--flag value ...]

Each option can be given as a flag or as an environment variable. The flag takes precedence.
Secrets can be in files: ${secrets.map(([, option]) => fileVariableOf(option)).join(', ')}.
Durations: 500ms, 10s, 5m, 1h, 7d, or a number of milliseconds.
Sizes: 512KiB, 16MiB, 1GiB, or a number of bytes. kb, mb and gb mean the same as KiB, MiB and GiB.

${lines.join('\n')}
  ${'--print-token <id>'.padEnd(68)}Print a new token, and the line of the policy for it.
  ${'--help, -h'.padEnd(68)}Print this help.
  ${'--version, -v'.padEnd(68)}Print the version.`;
}
