// The pages of the cluster: who leads what, and the nodes in which Kafka keeps that on ZooKeeper.
import t from 'tap';
import { checkPage, openConsole, startBrowser } from '../helpers/browser.ts';
import { createTopic, join } from '../helpers/groups.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

const browser = await startBrowser(t);
const one = await startTestServer(t, { brokerId: 1, rack: 'a' });
const two = await startTestServer(t, { brokerId: 2, rack: 'b' }, one.target);
const { url } = one;
const partitionOf = async (topic: string) => (await http(`${url}/v1/topics/${topic}/partitions/0`)).body;

t.test('the brokers are shown with what they lead, and leaders are changed', async (t) => {
  const shown = await openConsole(t, browser, url, { hash: '#/brokers' });
  await shown.sees('2 brokers');
  await shown.sees('There is nothing to lead yet');
  await checkPage(t, shown, 'brokers without topics');
  await http(`${url}/v1/topics`, 'POST', { name: 'led', partitions: 1, replicationFactor: 2 });
  const { replicas } = await partitionOf('led');
  const reversed = replicas.toReversed();
  await shown.sees('as preferred');
  await shown.go('#/brokers/led');
  await shown.click('button', 'Reassign partition 0');
  await shown.fill('Replicas', '1, 7');
  await shown.sees('Broker 7 is not alive');
  await shown.fill('Replicas', reversed.join(', '));
  await checkPage(t, shown, 'a reassignment');
  await shown.click('button', 'Reassign');
  await shown.sees('Partition 0 of led is reassigned');
  t.same((await partitionOf('led')).replicas, reversed);
  await shown.sees('1 not preferred');
  await shown.click('button', 'Elect the preferred leaders');
  await shown.sees('1 leader elected');
  t.equal((await partitionOf('led')).leader, reversed[0]);
  await shown.sees('as preferred');
  await checkPage(t, shown, 'leaders');
});

t.test('the learner sees each node explained, what happens to it, and the drawing follow', async (t) => {
  const shown = await openConsole(t, browser, url, { hash: '#/learn' });
  const drawn = () => shown.page.$$eval('.drawing svg', ([drawing]) => drawing?.getAttribute('aria-label') ?? '');
  await eventually(async () => /Brokers alive: 1, 2\./.test(await drawn()), 'both brokers are drawn');
  await checkPage(t, shown, 'the learner’s page');
  await shown.page.click('::-p-text(/controller_epoch)');
  await shown.sees('orders of an earlier one are known to be old');
  await shown.go('#/learn?topic=new-topic');
  await http(`${url}/v1/topics`, 'POST', { name: 'new-topic', partitions: 2, replicationFactor: 2 });
  await eventually(async () => (await drawn()).includes('Partition 1 of new-topic: led by'), 'the topic is drawn');
  await createTopic(url, 'read', 1);
  await join(url, 'pupils', { topics: ['read'], memberId: 'm1' });
  await join(url, 'pupils', { topics: ['read'], memberId: 'm2' });
  await shown.sees('/pupils');
  await eventually(
    async () => (await shown.page.$$('.story li[data-state="done"]')).length === 3,
    'there are two brokers, a topic and two members',
  );
  await two.close();
  await eventually(
    async () => /Brokers alive: 1\. .*0 of new-topic: led by 1, in sync 1\./.test(await drawn()),
    'the broker that died leads nothing',
  );
  await eventually(
    () => shown.page.$$eval('.shape[data-kind="gone"]', (all) => all.length === 1),
    'it is drawn as gone, as the topic still names it',
  );
  await eventually(
    async () => (await shown.page.$$('.story li[data-state="done"]')).length === 4,
    'a broker was stopped',
  );
});
