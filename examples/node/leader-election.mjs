// leader-election.mjs NAME CANDIDATE TOPIC: waits to be elected, and appends a record to the topic each second while it leads
import { setTimeout as pause } from 'node:timers/promises';
import { Weir } from '@weirkeeper/client';
import { election } from '@weirkeeper/client/recipes';

const [name, candidate, topic] = process.argv.slice(2);
const weir = Weir.fromEnv();
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
try {
  const { token, signal } = await election(weir, name, { value: candidate }).campaign({ signal: stop.signal });
  console.log(`${candidate} leads`);
  // Grows from leader to leader: a partition refuses an older one once it has seen this one.
  const producer = weir.producer({ topic, fence: `${name}=${token}`, linger: 0 });
  while (!signal.aborted && !stop.signal.aborted) {
    await producer.send({ value: `${candidate} leads` });
    await pause(1000, undefined, { signal: stop.signal }).catch(() => {});
  }
  if (!stop.signal.aborted) throw new Error('The session may have ended: somebody else leads.');
} catch (error) {
  if (!stop.signal.aborted) throw error;
} finally {
  // Ends the session, and so deletes the node of the candidate.
  await weir.close();
}
