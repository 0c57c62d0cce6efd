import t from 'tap';
import {
  changeOverrides,
  checkTopicName,
  decodeTopicConfig,
  effectiveConfig,
  encodeTopicConfig,
} from '../../../src/core/records/topic-config.ts';
import { ServiceError } from '../../../src/core/service-error.ts';

const refused = (run: () => unknown): ServiceError => {
  try {
    run();
  } catch (error) {
    if (error instanceof ServiceError) return error;
  }
  throw new Error('It was not refused');
};

t.test('the defaults are those of the contract', async (t) => {
  t.same(effectiveConfig({}), {
    'cleanup.policy': 'delete',
    'compression.type': 'producer',
    'delete.retention.ms': 86_400_000,
    'max.message.bytes': 1_048_576,
    'message.timestamp.after.max.ms': 3_600_000,
    'message.timestamp.before.max.ms': -1,
    'message.timestamp.type': 'CreateTime',
    'min.insync.replicas': 1,
    'retention.bytes': 1_073_741_824,
    'retention.ms': 604_800_000,
  });
});

t.test('values are numbers or strings, and are stored as strings, as in Kafka', async (t) => {
  const overrides = changeOverrides(
    {},
    { 'retention.ms': 1000, 'retention.bytes': '-1', 'cleanup.policy': 'delete, compact' },
  );
  t.same(overrides, { 'retention.ms': '1000', 'retention.bytes': '-1', 'cleanup.policy': 'compact,delete' });
  t.equal(
    encodeTopicConfig(overrides),
    '{"version":1,"config":{"retention.ms":"1000","retention.bytes":"-1","cleanup.policy":"compact,delete"}}',
  );
  t.same(decodeTopicConfig(Buffer.from(encodeTopicConfig(overrides))), overrides);
  t.match(effectiveConfig(overrides), {
    'retention.ms': 1000,
    'retention.bytes': -1,
    'cleanup.policy': 'compact,delete',
  });
});

t.test('a change leaves other settings as they are, and null resets a setting', async (t) => {
  const before = { 'retention.ms': '1000', 'max.message.bytes': '5' } as const;
  t.same(changeOverrides(before, { 'max.message.bytes': null, 'min.insync.replicas': 2 }), {
    'retention.ms': '1000',
    'min.insync.replicas': '2',
  });
});

t.test('an invalid value is INVALID_CONFIG, and the error names the key and the valid values', async (t) => {
  for (const [key, value, allowed] of [
    ['retention.ms', -2, /whole number from -1/],
    ['retention.ms', '1e3', /whole number/],
    ['retention.bytes', 1.5, /whole number/],
    ['max.message.bytes', 0, /from 1 to/],
    ['min.insync.replicas', 0, /from 1 to/],
    ['cleanup.policy', 'none', /delete, compact/],
    ['cleanup.policy', '', /delete, compact/],
    ['compression.type', 'zstd', /producer or uncompressed.*gzip/],
    ['message.timestamp.type', 'createtime', /CreateTime or LogAppendTime/],
  ] as const) {
    const error = refused(() => changeOverrides({}, { [key]: value }));
    t.equal(error.code, 'INVALID_CONFIG');
    t.match(error.message, new RegExp(`^${key.replaceAll('.', '\\.')} is `));
    t.match(error.message, allowed);
    t.equal(error.fields.key, key);
  }
  for (const key of ['retention', 'segment.bytes', 'toString', '__proto__']) {
    const error = refused(() => changeOverrides({}, JSON.parse(`{${JSON.stringify(key)}:"1"}`)));
    t.equal(error.code, 'INVALID_CONFIG');
    t.match(error.message, `There is no setting '${key}'`);
    t.match(error.message, /retention\.ms/);
  }
});

t.test('topic names follow the rules of Kafka', async (t) => {
  for (const name of ['a', 'A-b_c.9', '..a', 'x'.repeat(249), '...']) checkTopicName(name);
  for (const name of ['', '.', '..', 'a b', 'a/b', 'é', 'x'.repeat(250), 'a\n']) {
    t.equal(refused(() => checkTopicName(name)).code, 'BAD_REQUEST', JSON.stringify(name));
  }
});
