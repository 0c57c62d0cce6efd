// exactly-once.mjs GROUP TOPIC: adds the payments of a topic to the accounts in the tree, each exactly once, whoever dies meanwhile
//
// A record comes at least once: a member that dies before its commit leaves its records to the next one. So the place up to which a
// partition has been added is kept beside the accounts, and both change in one transaction, on the condition that nobody else has
// changed them since they were read. A record that comes again is behind that place. A member that was paused, and does not know that
// another one has its partition by now, finds a newer version, and nothing of its batch takes effect.
import { Weir } from '@weirkeeper/client';

const [group, topic] = process.argv.slice(2);
const weir = Weir.fromEnv();
const root = `/accounts/${group}`;

/** Adds to `multi` the change of a node from what was read. */
function put(multi, path, node, text) {
  if (node) multi.set(path, text, { mzxid: node.stat.mzxid });
  else multi.create(path, text);
}

async function add({ partition, records, nextOffset }) {
  const placePath = `${root}/place-${partition}`;
  const place = await weir.tree.get(placePath);
  const added = Number(place?.text ?? 0);
  const sums = new Map();
  for (const { offset, value } of records) {
    if (offset < added) continue;
    sums.set(value.account, (sums.get(value.account) ?? 0) + value.amount);
  }
  if (sums.size === 0) return;
  const multi = weir.tree.multi();
  put(multi, placePath, place, String(nextOffset));
  for (const [account, sum] of sums) {
    const path = `${root}/${account}`;
    const balance = await weir.tree.get(path);
    put(multi, path, balance, String(Number(balance?.text ?? 0) + sum));
  }
  await multi.commit();
  console.log(`${partition} ${nextOffset}`);
}

await weir.tree.set(root, '', { create: true });
const consumer = weir.consumer({ group, topics: [topic], reset: 'earliest', sessionTimeout: '5s' });
process.once('SIGTERM', () => consumer.close());
// BAD_VERSION, NODE_EXISTS: another member was faster. Again, from what is there now.
await consumer.run({ eachBatch: add, onError: 'retry' });
await weir.close();
