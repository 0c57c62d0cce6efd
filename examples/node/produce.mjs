// produce.mjs TOPIC: appends each line of its input as a record, and prints the partition and the offset of each
import { createInterface } from 'node:readline';
import { Weir } from '@weirkeeper/client';

const [topic] = process.argv.slice(2);
const weir = Weir.fromEnv();
const producer = weir.producer({ topic });
for await (const value of createInterface({ input: process.stdin })) {
  await producer.ready();
  // Not awaited: lines that come quickly share requests, in their order.
  producer.send({ value }).then(({ partition, offset }) => console.log(partition, offset));
}
await weir.close();
