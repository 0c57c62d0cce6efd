/** Settings and names of topics by Kafka's rules: keys, defaults and valid values of settings, and valid names. */
import { z } from 'zod';
import type { TopicConfig } from '../../../schemas/topics.ts';
import { ServiceError } from '../service-error.ts';
import { decodeDocument } from '../stored-document.ts';

type TopicConfigKey = keyof TopicConfig;

/** The settings that differ from the defaults, as strings, as in Kafka's `/config/topics/T`. */
type TopicOverrides = Partial<Record<TopicConfigKey, string>>;

/** Settings in a request: numbers or strings; null resets a setting to its default. */
export type ConfigInput = Readonly<Record<string, string | number | null>>;

interface Setting<T> {
  default: T;
  /** The valid values, for error messages. */
  allowed: string;
  /** Parses the text; undefined if the value is not valid. */
  read(text: string): T | undefined;
}

const hour = 3_600_000;
const day = 24 * hour;
const mebibyte = 1024 * 1024;
/** A batch is one value in Redis and one message to it; a larger one would block other requests. */
const messageBytesMax = 64 * mebibyte;

const settings: { [K in TopicConfigKey]: Setting<TopicConfig[K]> } = {
  'cleanup.policy': {
    default: 'delete',
    allowed: 'delete, compact, or compact,delete',
    read(text) {
      const policies = [...new Set(text.split(',').map((policy) => policy.trim()))].sort().join(',');
      return oneOf(policies, ['delete', 'compact', 'compact,delete'] as const);
    },
  },
  'compression.type': {
    default: 'producer',
    allowed: 'producer or uncompressed (stored as sent), or gzip',
    read: (text) => oneOf(text, ['producer', 'uncompressed', 'gzip'] as const),
  },
  'delete.retention.ms': integerSetting(day, 0, Number.MAX_SAFE_INTEGER, 'ms'),
  'max.message.bytes': integerSetting(mebibyte, 1, messageBytesMax, 'bytes'),
  'message.timestamp.after.max.ms': timeSpan(hour, 'after'),
  'message.timestamp.before.max.ms': timeSpan(-1, 'before'),
  'message.timestamp.type': {
    default: 'CreateTime',
    allowed: 'CreateTime or LogAppendTime',
    read: (text) => oneOf(text, ['CreateTime', 'LogAppendTime'] as const),
  },
  'min.insync.replicas': integerSetting(1, 1, 100, 'machines'),
  'retention.bytes': integerSetting(1024 * mebibyte, -1, Number.MAX_SAFE_INTEGER, 'bytes, -1 = no limit'),
  'retention.ms': integerSetting(7 * day, -1, Number.MAX_SAFE_INTEGER, 'ms, -1 = without limit'),
};

const keys = Object.keys(settings) as TopicConfigKey[];

/**
 * The overrides after a change: `before`, without the settings that `input` sets to null, with the values in `input`.
 * @throws ServiceError INVALID_CONFIG with the key and the valid values (fields `key`, `allowed`)
 */
export function changeOverrides(before: TopicOverrides, input: ConfigInput): TopicOverrides {
  const after: TopicOverrides = { ...before };
  for (const [key, value] of Object.entries(input)) {
    if (!isKey(key)) {
      throw new ServiceError('INVALID_CONFIG', `There is no setting '${key}'; a topic has ${keys.join(', ')}.`, {
        key,
        allowed: keys,
      });
    }
    if (value === null) {
      delete after[key];
      continue;
    }
    const { allowed, read } = settings[key];
    const parsed = read(String(value));
    if (parsed === undefined) {
      throw new ServiceError('INVALID_CONFIG', `${key} is ${JSON.stringify(value)}; it must be ${allowed}.`, {
        key,
        allowed,
      });
    }
    after[key] = String(parsed);
  }
  return after;
}

/** All settings with their effective values. Settings that this version does not know are left out. */
export function effectiveConfig(overrides: TopicOverrides): TopicConfig {
  const config: Partial<Record<TopicConfigKey, string | number>> = {};
  for (const key of keys) {
    const own = overrides[key];
    config[key] = (own === undefined ? undefined : settings[key].read(own)) ?? settings[key].default;
  }
  return config as TopicConfig;
}

/** Settings of newer versions are kept; effectiveConfig() ignores them. */
const overridesDocument = z.object({ config: z.record(z.string(), z.string()) });

/** The data of `/config/topics/T`, version 1: all values are strings, as in Kafka. */
export function encodeTopicConfig(overrides: TopicOverrides): string {
  return JSON.stringify({ version: 1, config: overrides });
}

export function decodeTopicConfig(data: Buffer): TopicOverrides {
  return decodeDocument('The configuration of a topic', data, overridesDocument).config;
}

/** Checks the name of a topic by Kafka's rule. @throws ServiceError BAD_REQUEST */
export function checkTopicName(name: string): void {
  if (/^[a-zA-Z0-9._-]{1,249}$/.test(name) && name !== '.' && name !== '..') return;
  throw new ServiceError(
    'BAD_REQUEST',
    `'${name.slice(0, 300)}' is not a valid topic name: it must be 1 to 249 of a-z, A-Z, 0-9, '.', '_', '-', and not '.' or '..'.`,
  );
}

function isKey(key: string): key is TopicConfigKey {
  return Object.hasOwn(settings, key);
}

function oneOf<T extends string>(text: string, allowed: readonly T[]): T | undefined {
  return allowed.find((value) => value === text);
}

function integerSetting(standard: number, min: number, max: number, unit: string): Setting<number> {
  return {
    default: standard,
    allowed: `a whole number from ${min} to ${max} (${unit})`,
    read(text) {
      const value = Number(text);
      return /^-?\d{1,16}$/.test(text) && value >= min && value <= max ? value : undefined;
    },
  };
}

/** How far the timestamp of a record may be from the time of its append. Kafka's largest number stands for "no limit". */
function timeSpan(standard: number, where: 'before' | 'after'): Setting<number> {
  const unit = `ms that a record's timestamp may be ${where} the time of its append, -1 = any`;
  const { read, ...setting } = integerSetting(standard, -1, Number.MAX_SAFE_INTEGER, unit);
  return { ...setting, read: (text) => (text === kafkaLongMax ? -1 : read(text)) };
}

const kafkaLongMax = '9223372036854775807';
