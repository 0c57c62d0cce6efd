// A client in a process of its own, for tests that kill or stop it: `node mortal.js hold|consume URL`.
import { isWeirError, Weir } from '../../src/index.ts';
import { lock } from '../../src/recipes/index.ts';

const [, , role, url = ''] = process.argv;
const weir = new Weir({ url, sessionTtl: '1500ms' });

/** Holds a lock for ever, and appends with its token all the time. */
async function hold(): Promise<void> {
  const { token } = await lock(weir, 'fenced').acquire();
  const producer = weir.producer({ topic: 'fenced', fence: `fenced=${token}`, linger: 0 });
  for (;;) {
    try {
      await producer.send({ value: 'mine' });
      process.send!('appended');
    } catch (error) {
      process.send!(isWeirError(error) ? error.code : String(error));
    }
  }
}

/** Says what it has processed before it is committed. */
async function consume(): Promise<void> {
  const consumer = weir.consumer({
    group: 'work',
    topics: ['work'],
    reset: 'earliest',
    sessionTimeout: '1s',
    maxBuffered: 50,
  });
  for await (const { records } of consumer) process.send!(records.map(({ value }) => value));
}

await (role === 'hold' ? hold() : consume());
