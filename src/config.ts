/**
 * What the server is told from outside: environment variables and flags, checked as a whole before anything starts.
 * The only place that reads either. What the values do is the business of those who take them.
 */
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { distance } from 'fastest-levenshtein';
import { z } from 'zod';
import {
  duration,
  integer,
  matching,
  oneOf,
  parseCorsOrigin,
  parseOrigin,
  parseRedisUrl,
  size,
} from './config-values.ts';

/** Values are in the units that their names end in. */
export interface Config {
  host: string;
  port: number;
  /** The address that clients reach this server by, if it is not the one it listens on. */
  advertisedUrl?: string;
  brokerId?: number;
  rack?: string;
  dataDir: string;
  /** A Redis that is running already; absent: the private one. May hold a password. */
  redisUrl?: string;
  appendfsync: 'always' | 'everysec' | 'no';
  prefix: string;
  sessionMinTtlMs: number;
  sessionMaxTtlMs: number;
  brokerSessionTtlMs: number;
  /** How many transactions are kept for replay. */
  eventRetention: number;
  maxNodeBytes: number;
  maxBodyBytes: number;
  autoCreateTopics: boolean;
  /** Limit of the private Redis; absent: half of the machine's memory. */
  redisMaxmemoryBytes?: number;
  /** Foreign origins whose pages may use this server; `*` is every one. */
  corsOrigins: string[];
  logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
}

/** What the command line asks for: to run, or only to print `text`. */
export type Invocation = { kind: 'run'; config: Config } | { kind: 'help' | 'version'; text: string };

/** The configuration is not usable; the message has one line for each problem. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

interface Option<T> {
  variable: string;
  /** From the text of the variable or flag; its error says what is allowed. */
  schema: z.ZodType<T>;
  default?: string;
  /** What the value is, in one word; absent: a flag that may stand alone. */
  placeholder?: string;
  meaning: string;
  /** The value holds a password, and must not be shown. */
  isSecret?: true;
}

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** Every option there is; a variable's flag is its name without the prefix: `WEIR_DATA_DIR` is `--data-dir`. */
const options: { [Field in keyof Required<Config>]: Option<Required<Config>[Field]> } = {
  host: {
    variable: 'WEIR_HOST',
    schema: matching(/^\S+$/, 'must be an address or host name to listen on, such as 0.0.0.0'),
    default: '127.0.0.1',
    placeholder: 'address',
    meaning: 'Address to listen on; 0.0.0.0 is every one of this machine.',
  },
  port: {
    variable: 'WEIR_PORT',
    schema: integer(0, 65_535),
    default: '7070',
    placeholder: 'port',
    meaning: 'TCP port to listen on; 0 is any free one.',
  },
  advertisedUrl: {
    variable: 'WEIR_ADVERTISED_URL',
    schema: z.string().transform(parseOrigin('must be an http(s) URL without a path, such as http://weir-1:7070')),
    placeholder: 'url',
    meaning: 'Address that clients and other brokers reach this one by, if not the one it listens on.',
  },
  brokerId: {
    variable: 'WEIR_BROKER_ID',
    schema: integer(0, 2 ** 31 - 1),
    placeholder: 'id',
    meaning: 'Id of this broker in the cluster; generated if absent.',
  },
  rack: {
    variable: 'WEIR_RACK',
    schema: matching(/^.{1,255}$/, 'must have 1 to 255 characters'),
    placeholder: 'name',
    meaning: 'Rack or zone of this broker; replicas are spread over racks.',
  },
  dataDir: {
    variable: 'WEIR_DATA_DIR',
    schema: z.string(),
    default: './data',
    placeholder: 'folder',
    meaning: 'Where the private Redis keeps its data; one server at a time may use it.',
  },
  redisUrl: {
    variable: 'WEIR_REDIS_URL',
    schema: z.string().transform(parseRedisUrl),
    placeholder: 'url',
    meaning:
      'A Redis or Valkey 7.0+ that is running already: redis://[user:password@]host:port[/db], rediss:// for TLS. Absent: the server starts a private one.',
    isSecret: true,
  },
  appendfsync: {
    variable: 'WEIR_APPENDFSYNC',
    schema: oneOf(['always', 'everysec', 'no']),
    default: 'always',
    placeholder: 'when',
    meaning: 'When the private Redis syncs to disk: always (before each answer), everysec, no.',
  },
  prefix: {
    variable: 'WEIR_PREFIX',
    schema: matching(/^[A-Za-z0-9._-]{1,64}$/, 'must have 1 to 64 characters of A-Z a-z 0-9 . _ -'),
    default: 'weir',
    placeholder: 'name',
    meaning: 'Start of every key, so that several clusters can share one Redis.',
  },
  sessionMinTtlMs: {
    variable: 'WEIR_SESSION_MIN_TTL',
    schema: duration(100),
    default: '1s',
    placeholder: 'duration',
    meaning: 'Shortest time-to-live that a session gets.',
  },
  sessionMaxTtlMs: {
    variable: 'WEIR_SESSION_MAX_TTL',
    schema: duration(100),
    default: '24h',
    placeholder: 'duration',
    meaning: 'Longest time-to-live that a session gets.',
  },
  brokerSessionTtlMs: {
    variable: 'WEIR_BROKER_SESSION_TTL',
    schema: duration(100),
    default: '6s',
    placeholder: 'duration',
    meaning: 'How long after its last sign of life a broker counts as dead.',
  },
  eventRetention: {
    variable: 'WEIR_EVENT_RETENTION',
    schema: integer(1, 2 ** 31 - 1),
    default: '100000',
    placeholder: 'number',
    meaning: 'How many transactions of the tree are kept for watches that resume.',
  },
  maxNodeBytes: {
    variable: 'WEIR_MAX_NODE_BYTES',
    schema: size('1', '256MiB'),
    default: '1MiB',
    placeholder: 'size',
    meaning: 'Largest data of a node.',
  },
  maxBodyBytes: {
    variable: 'WEIR_MAX_BODY_BYTES',
    schema: size('1', '256MiB'),
    default: '16MiB',
    placeholder: 'size',
    meaning: 'Largest body of a request; NDJSON streams are not bounded.',
  },
  autoCreateTopics: {
    variable: 'WEIR_AUTO_CREATE_TOPICS',
    schema: oneOf(['true', 'false']).transform((text) => text === 'true'),
    default: 'false',
    meaning: 'Whether producing to an unknown topic creates it.',
  },
  redisMaxmemoryBytes: {
    variable: 'WEIR_REDIS_MAXMEMORY',
    schema: size('1MiB', '1048576GiB'),
    placeholder: 'size',
    meaning: "Memory limit of the private Redis; absent: half of the machine's.",
  },
  corsOrigins: {
    variable: 'WEIR_CORS_ORIGINS',
    schema: z
      .string()
      .transform((text, context) => text.split(',').map((part) => parseCorsOrigin(part.trim(), context))),
    default: '',
    placeholder: 'origins',
    meaning:
      'Origins, separated by commas, whose web pages may use this server; * is every one. Absent: none but its own.',
  },
  logLevel: {
    variable: 'WEIR_LOG_LEVEL',
    schema: oneOf(logLevels),
    default: 'info',
    placeholder: 'level',
    meaning: `What is logged: ${logLevels.join(', ')}.`,
  },
};

const entries = Object.entries(options) as [keyof Config, Option<unknown>][];

function flagOf({ variable }: Option<unknown>): string {
  return variable.slice('WEIR_'.length).toLowerCase().replaceAll('_', '-');
}

/**
 * Reads the configuration from `env` and `argv` (without the program's name); a flag wins over its variable, and an
 * empty variable counts as absent. `--help` and `--version` win over everything.
 * @throws ConfigError that names every problem at once
 */
export function loadConfig(
  env: Record<string, string | undefined> = process.env,
  argv: string[] = process.argv.slice(2),
): Invocation {
  const flags = parseFlags(argv);
  if (flags.given.has('help')) return { kind: 'help', text: helpText() };
  if (flags.given.has('version')) return { kind: 'version', text: packageVersion() };

  const problems = [...flags.problems, ...unknownVariables(env)];
  const values: Partial<Record<keyof Config, unknown>> = {};
  for (const [field, option] of entries) {
    const flag = flags.given.get(flagOf(option));
    const text = flag ?? (env[option.variable] || option.default);
    if (text === undefined || (text === '' && flag === undefined)) continue;
    const parsed = option.schema.safeParse(text);
    if (parsed.success) {
      values[field] = parsed.data;
      continue;
    }
    const name = flag === undefined ? option.variable : `--${flagOf(option)}`;
    const shown = option.isSecret ? '' : ` is ${JSON.stringify(text)}, which is not valid: it`;
    problems.push(`${name}${shown} ${parsed.error.issues[0]!.message}${kubernetesHint(text)}`);
  }
  const config = { corsOrigins: [], ...values } as unknown as Config; // the type of `options` ties each field to its schema
  if (problems.length === 0) problems.push(...contradictions(config));
  if (problems.length > 0) throw new ConfigError(`${problems.join('\n')}\nSee --help for all options.`);
  return { kind: 'run', config };
}

/** The configuration as it may be logged: without passwords. */
export function describeConfig(config: Config): Record<string, unknown> {
  if (config.redisUrl === undefined) return { ...config };
  const url = new URL(config.redisUrl);
  return {
    ...config,
    redisUrl: `${url.protocol}//${url.username || url.password ? '***@' : ''}${url.host}${url.pathname}`,
  };
}

/** The folders of the PATH, in order: where commands are looked for. */
export function commandSearchPath(env: Record<string, string | undefined> = process.env): string[] {
  return (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
}

/** The folder of package.json: source and compiled files lie at different depths below it. */
export function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) folder = dirname(folder);
  return folder;
}

/** Such as `1.2.3`. */
export function packageVersion(): string {
  return String(JSON.parse(readFileSync(join(projectRoot(), 'package.json'), 'utf8')).version);
}

function parseFlags(argv: string[]): { given: Map<string, string>; problems: string[] } {
  const given = new Map<string, string>();
  const problems: string[] = [];
  const known = new Map(entries.map(([, option]) => [flagOf(option), option]));
  const types = [...known].map(
    ([flag, { placeholder }]) => [flag, { type: placeholder === undefined ? 'boolean' : 'string' }] as const,
  );
  const { tokens } = parseArgs({
    args: argv,
    // Not strict, as parseArgs would stop at the first problem; all of them are to be named at once.
    strict: false,
    tokens: true,
    options: {
      ...Object.fromEntries(types),
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean', short: 'v' },
    },
  });
  for (const token of tokens) {
    if (token.kind === 'positional') {
      problems.push(`${JSON.stringify(token.value)} is not an option; there are no other arguments`);
    } else if (token.kind === 'option') {
      const option = known.get(token.name);
      if (token.name === 'help' || token.name === 'version') given.set(token.name, '');
      else if (!option) problems.push(`${token.rawName} is unknown${nearest(token.name, [...known.keys()], '--')}`);
      else if (option.placeholder === undefined) given.set(token.name, token.value ?? 'true');
      else if (token.value === undefined || (!token.inlineValue && token.value.startsWith('--'))) {
        problems.push(`${token.rawName} needs a value: ${token.rawName} <${option.placeholder}>`);
      } else given.set(token.name, token.value);
    }
  }
  return { given, problems };
}

function unknownVariables(env: Record<string, string | undefined>): string[] {
  const known = entries.map(([, { variable }]) => variable);
  return Object.keys(env)
    .filter((name) => name.startsWith('WEIR_') && !known.includes(name))
    .map((name) => `${name} is unknown${nearest(name, known, '')}${kubernetesHint(env[name] ?? '')}`);
}

function nearest(name: string, known: string[], prefix: string): string {
  const [best] = known.map((other) => ({ other, edits: distance(name, other) })).sort((a, b) => a.edits - b.edits);
  return best !== undefined && best.edits <= Math.max(2, name.length / 2)
    ? `; do you mean ${prefix}${best.other}?`
    : '';
}

function kubernetesHint(value: string): string {
  return value.startsWith('tcp://')
    ? ' (Kubernetes sets such variables for a Service named "weir": give the pod `enableServiceLinks: false`)'
    : '';
}

/** What each value allows by itself, but not together. */
function contradictions(config: Config): string[] {
  const problems: string[] = [];
  if (config.sessionMinTtlMs > config.sessionMaxTtlMs) {
    problems.push(
      `WEIR_SESSION_MIN_TTL is ${config.sessionMinTtlMs} ms, which is more than WEIR_SESSION_MAX_TTL, ${config.sessionMaxTtlMs} ms`,
    );
  }
  if (config.maxNodeBytes > config.maxBodyBytes) {
    problems.push(
      `WEIR_MAX_NODE_BYTES is ${config.maxNodeBytes}, which is more than WEIR_MAX_BODY_BYTES, ${config.maxBodyBytes}: no request could carry such data`,
    );
  }
  return problems;
}

function helpText(): string {
  const lines = entries.map(([, option]) => {
    const flag = `--${flagOf(option)}${option.placeholder === undefined ? '' : ` <${option.placeholder}>`}`;
    const value = option.default ? `default ${option.default}` : 'no default';
    return `  ${flag.padEnd(34)}${option.variable.padEnd(26)}${value}\n      ${option.meaning}`;
  });
  return `weir ${packageVersion()}: coordination and logs over HTTP and WebSocket, on Redis

Usage: weir [--flag value ...]

Each option is a flag or an environment variable; the flag wins.
Durations are 500ms, 10s, 5m, 1h, 7d or a number of ms; sizes are 512KiB, 16MiB, 1GiB or a number of bytes (kb, mb and
gb mean the same as KiB, MiB and GiB).

${lines.join('\n')}
  ${'--help, -h'.padEnd(60)}Prints this.
  ${'--version, -v'.padEnd(60)}Prints the version.`;
}
