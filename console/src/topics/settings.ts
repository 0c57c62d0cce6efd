// The settings of a topic: what each one means, how its value is read and written by people, and what differs between two versions.

type SettingKind = 'duration' | 'size' | 'number' | 'choice';

export interface Setting {
  name: string;
  kind: SettingKind;
  /** What it does, in a sentence. */
  about: string;
  options?: readonly string[];
  /** What -1 means, where it is allowed. */
  unlimited?: string;
}

export const settings: readonly Setting[] = [
  {
    name: 'cleanup.policy',
    kind: 'choice',
    options: ['delete', 'compact', 'compact,delete'],
    about: 'Delete old records, or keep the newest record of each key (compact), or both.',
  },
  { name: 'retention.ms', kind: 'duration', unlimited: 'for ever', about: 'How long records are kept.' },
  {
    name: 'retention.bytes',
    kind: 'size',
    unlimited: 'no limit',
    about: 'How large the log of one partition may become.',
  },
  { name: 'max.message.bytes', kind: 'size', about: 'How large the records of one request for one partition may be.' },
  {
    name: 'min.insync.replicas',
    kind: 'number',
    about: 'How many Redis servers must have a record that is produced with acks=all.',
  },
  {
    name: 'compression.type',
    kind: 'choice',
    options: ['producer', 'uncompressed', 'gzip'],
    about: 'Store batches as they are sent, or compress them.',
  },
  { name: 'delete.retention.ms', kind: 'duration', about: 'How long a compacted topic keeps tombstones.' },
  {
    name: 'message.timestamp.type',
    kind: 'choice',
    options: ['CreateTime', 'LogAppendTime'],
    about: 'Whether the time of a record is that of its producer, or that of its append.',
  },
  {
    name: 'message.timestamp.after.max.ms',
    kind: 'duration',
    unlimited: 'any',
    about: 'How far the time of a record may be ahead.',
  },
  {
    name: 'message.timestamp.before.max.ms',
    kind: 'duration',
    unlimited: 'any',
    about: 'How far the time of a record may be in the past.',
  },
];

const durationUnits: readonly [unit: string, ms: number][] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
  ['ms', 1],
];
const sizeUnits: readonly [unit: string, bytes: number][] = [
  ['TiB', 1024 ** 4],
  ['GiB', 1024 ** 3],
  ['MiB', 1024 ** 2],
  ['KiB', 1024],
  ['B', 1],
];

/** A value as the form shows it: `7 d`, `1 GiB`, without loss. */
export function settingText({ kind, unlimited }: Setting, value: string | number): string {
  if (typeof value === 'string' || kind === 'number' || kind === 'choice') return String(value);
  if (value === -1 && unlimited !== undefined) return unlimited;
  if (value <= 0) return String(value);
  const units = kind === 'duration' ? durationUnits : sizeUnits;
  const [unit, size] = units.find(([, size]) => value % size === 0) ?? ['', 1];
  return `${value / size} ${unit}`;
}

/**
 * Reads what a user typed: a number, a number with a unit, or the word for no limit.
 * @returns the value for the server, or what is wrong with the text
 */
export function parseSetting(setting: Setting, text: string): { value: string | number } | { error: string } {
  const { kind, name, options, unlimited } = setting;
  const trimmed = text.trim();
  if (kind === 'choice')
    return options?.includes(trimmed) ? { value: trimmed } : { error: `${name} is one of ${options?.join(', ')}.` };
  if (unlimited !== undefined && [unlimited, '-1'].includes(trimmed.toLowerCase())) return { value: -1 };
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(trimmed) ?? [];
  const factor = digits === undefined ? undefined : factorOf(kind, unit);
  const value = digits === undefined || factor === undefined ? Number.NaN : Number(digits) * factor;
  if (Number.isSafeInteger(value)) return { value };
  const examples = { duration: '30 s, 12 h or 7 d', size: '512 KiB or 1 GiB', number: '2' }[kind];
  const word = unlimited === undefined ? '' : `, or "${unlimited}"`;
  return { error: `"${trimmed}" is no value for ${name}: write ${examples}${word}.` };
}

/** @returns undefined if there is no such unit */
function factorOf(kind: SettingKind, unit: string): number | undefined {
  if (unit === '') return 1;
  if (kind === 'number') return undefined;
  const wanted = unit.toLowerCase();
  if (kind === 'duration') return durationUnits.find(([name]) => name === wanted || name[0] === unit)?.[1];
  // People write KB and mean 1,024 bytes where memory is meant.
  return sizeUnits.find(([name]) =>
    [name, name.replace('i', ''), name[0]].some((n) => n?.toLowerCase() === wanted),
  )?.[1];
}

export interface SettingChange {
  setting: Setting;
  /** What it is. */
  from: string | number;
  to: string | number;
}

/** What a form changes: of each setting whose text says something else than its value. */
export function settingChanges(
  current: Readonly<Record<string, string | number>>,
  texts: ReadonlyMap<string, string>,
): { changes: SettingChange[]; errors: Map<string, string> } {
  const changes: SettingChange[] = [];
  const errors = new Map<string, string>();
  for (const setting of settings) {
    const text = texts.get(setting.name);
    const from = current[setting.name];
    if (text === undefined || from === undefined) continue;
    const parsed = parseSetting(setting, text);
    if ('error' in parsed) errors.set(setting.name, parsed.error);
    else if (parsed.value !== from) changes.push({ setting, from, to: parsed.value });
  }
  return { changes, errors };
}
