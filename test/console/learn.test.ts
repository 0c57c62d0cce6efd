// The picture of the cluster that the console draws from the reserved nodes of a real server.
import t from 'tap';
import { curveOf, drawingOf } from '../../console/src/learn/drawing.ts';
import { explain, pictureOf, type SeenNode } from '../../console/src/learn/kafka-tree.ts';
import { createTopic, join } from '../helpers/groups.ts';
import { http, startTestServer } from '../helpers/server.ts';

const { url } = await startTestServer(t, { brokerId: 1001 });

async function reservedNodes(): Promise<Map<string, SeenNode>> {
  const nodes = new Map<string, SeenNode>();
  const read = async (path: string): Promise<void> => {
    const { body } = await http(`${url}/v1/nodes${path}?view=node`);
    nodes.set(path, { path, data: body.data, isEphemeral: body.stat.ephemeralOwner !== null });
    const { children } = (await http(`${url}/v1/nodes${path}?view=children`)).body;
    for (const name of children) await read(`${path}/${name}`);
  };
  for (const path of ['/brokers', '/controller', '/controller_epoch', '/cluster', '/consumers', '/config', '/admin'])
    await read(path);
  return nodes;
}

t.test('the picture has what the nodes say', async (t) => {
  await createTopic(url, 'clicks', 2);
  await join(url, 'web', { topics: ['clicks'], memberId: 'm1' });
  await http(`${url}/v1/groups/web/offsets`, 'POST', {
    memberId: 'm1',
    offsets: [{ topic: 'clicks', partition: 1, offset: 0 }],
  });
  const nodes = await reservedNodes();
  const picture = pictureOf(nodes);
  t.match(picture, {
    clusterId: /./,
    controller: { brokerId: 1001, epoch: 1 },
    brokers: [{ id: 1001, endpoint: url }],
    topics: [
      {
        name: 'clicks',
        partitions: [0, 1].map((partition) => ({ partition, leader: 1001, isr: [1001], replicas: [1001] })),
      },
    ],
    groups: [{ name: 'web', members: ['m1'] }],
  });
  const [group] = picture.groups;
  t.same(
    group?.owners.map(({ partition, member }) => [partition, member]).sort(),
    [
      [0, 'm1'],
      [1, 'm1'],
    ],
    'each partition has its owner',
  );
  t.ok(group?.offsets.some(({ topic, partition, offset }) => topic === 'clicks' && partition === 1 && offset === 0));
  t.equal(nodes.get('/controller')?.isEphemeral, true);
  const unexplained = [...nodes.keys()].filter((path) => explain(path).startsWith('A node of yours'));
  t.same(unexplained, [], 'every node of the server is explained');
});

t.test('nodes that cannot be read are left out', async (t) => {
  const nodes = new Map(
    [
      ['/brokers/ids/1', 'no JSON'],
      ['/controller', '{'],
    ].map(([path = '', data = '']) => [path, { path, data, isEphemeral: true }]),
  );
  t.match(pictureOf(nodes), { brokers: [], controller: undefined, clusterId: undefined, topics: [], groups: [] });
});

t.test('the drawing leads from the controller to the leaders, and from them to the partitions', async (t) => {
  const partition = (number: number, leader: number, isr: number[]) => ({
    partition: number,
    leader,
    leaderEpoch: 0,
    isr,
    replicas: [1, 2, 3],
  });
  const topic = { name: 't', partitions: [partition(0, 1, [1, 2]), partition(1, -1, [])] };
  const brokers = [1, 2].map((id) => ({ id, endpoint: '' }));
  const picture = { clusterId: 'c', controller: { brokerId: 2, epoch: 1 }, brokers, topics: [topic], groups: [] };
  const drawing = drawingOf(picture, topic);
  t.same(
    drawing.lines.map(({ id }) => id),
    ['elects-1', 'leads-1-0', 'follows-2-0'],
    'a partition without a leader has no line',
  );
  t.same(
    drawing.brokers.map(({ brokerId, isAlive, isController }) => [brokerId, isAlive, isController]),
    [
      [1, true, false],
      [2, true, true],
      [3, false, false],
    ],
    'a replica that has died is drawn, too',
  );
  for (const { x, width } of [...drawing.brokers, ...drawing.partitions])
    t.ok(x >= 0 && x + width <= drawing.width, 'within the drawing');
  t.match(curveOf({ from: [0, 0], to: [10, 20] }), /^M0 0C/);
  t.same(drawingOf({ ...picture, controller: undefined }, undefined).lines, []);
  const many = { name: 'm', partitions: Array.from({ length: 15 }, (_, i) => partition(i, 1, [1])) };
  t.equal(drawingOf(picture, many).leftOut, 9);
});
