// consume.mjs GROUP TOPIC: reads a topic as a member of a group, and prints the value of each record
import { Weir } from '@weirkeeper/client';

const [group, topic] = process.argv.slice(2);
const weir = Weir.fromEnv();
const consumer = weir.consumer({ group, topics: [topic], reset: 'earliest' });
// Finishes and commits the batch at hand, then leaves the group.
process.once('SIGTERM', () => consumer.close());
await consumer.run({
  eachRecord: ({ value }) => console.log(typeof value === 'string' ? value : JSON.stringify(value)),
});
await weir.close();
