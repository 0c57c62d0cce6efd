// Commands about brokers and who leads partitions: ls, describe, elect, reassign.
import type { Command } from 'commander';
import type { Brokers, Election, Partition } from '../api.ts';
import type { Cli } from '../cli.ts';
import { usageError } from '../errors.ts';
import { addCommand, addGroup } from '../help.ts';
import { dryRun } from '../input.ts';
import { resourcePath } from '../requests.ts';
import type { Table } from '../table.ts';
import { spanText, timeText } from '../units.ts';
import { integerFrom } from '../values.ts';

type Broker = Brokers['brokers'][number];

export function addBrokerCommands(program: Command, cli: Cli): void {
  const group = addGroup(program, 'broker', 'List brokers, elect leaders, reassign partitions');

  addCommand(group, 'ls', { summary: 'List the live brokers', examples: ['weir broker ls'] }).action(async () => {
    const body = await cli.json<Brokers>({ path: '/v1/brokers' });
    await cli.out.show({
      body,
      items: () => body.brokers,
      names: () => body.brokers.map(({ id }) => String(id)),
      table: () => brokerTable(body.brokers),
    });
  });

  addCommand(group, 'describe <id>', {
    summary: 'Show one broker',
    examples: ['weir broker describe $(weir broker ls -o name | head -n 1)'],
  }).action(async (id: string) => {
    const body = await cli.json<Broker>({ path: resourcePath('brokers', id) });
    const { startedAt, isController, partitionsLed, connections } = body;
    const facts: [string, string][] = [
      ['id', String(body.id)],
      ['url', body.url],
      ['version', body.version ?? '-'],
      ['rack', body.rack ?? '-'],
      ['worker', body.worker === null ? '-' : String(body.worker)],
      ['started', `${timeText(startedAt)}, ${spanText(Date.now() - startedAt)} ago`],
      ['controller', isController ? 'yes' : 'no'],
      ['partitions led', String(partitionsLed)],
      ['connections', String(connections)],
    ];
    await cli.out.show({
      body,
      names: () => [String(body.id)],
      text: () => facts.map(([name, value]) => `${`${name}:`.padEnd(16)}${value}`).join('\n'),
    });
  });

  addCommand(group, 'elect <topic>', {
    summary: 'Make the preferred brokers the leaders of a topic',
    description:
      'The first replica of each partition becomes its leader, if it is alive. The controller also does so by itself after brokers have come or gone.',
    examples: ['weir broker elect clicks', 'weir broker elect clicks --partition 0'],
  })
    .option('--partition <number>', 'only this partition', integerFrom(0))
    .action(async (topic: string, { partition }: { partition?: number }) => {
      dryRun(cli, `Would elect the preferred leaders of ${topic}.`);
      const body = await cli.json<Election>({
        method: 'POST',
        path: '/v1/elections',
        body: { topic, ...(partition !== undefined && { partition }) },
      });
      await cli.out.show({
        body,
        items: () => body.partitions,
        names: () => body.partitions.map((each) => String(each.partition)),
        table: () => ({
          columns: ['PARTITION', 'LEADER', 'EPOCH']
            .map((title) => ({ title, right: true }))
            .concat({ title: 'OUTCOME', right: false }),
          rows: body.partitions.map((each) => [each.partition, each.leader, each.leaderEpoch, each.outcome]),
        }),
      });
    });

  addCommand(group, 'reassign <topic> <partition> <brokers>', {
    summary: 'Give a partition other replicas',
    description:
      'Gives a partition other replicas: brokers that may maintain its log, the preferred leader first. It applies at once, and no data move, as all brokers share the store.',
    examples: [
      {
        line: 'weir broker reassign clicks 0 $(weir broker ls -o name | paste -sd ,)',
        says: 'ids with commas between them',
      },
    ],
  }).action(async (topic: string, partition: string, brokers: string) => {
    const replicas = brokers.split(',').map(Number);
    if (!/^\d+$/.test(partition)) throw usageError(`"${partition}" is no number of a partition.`);
    if (replicas.some((id) => !Number.isSafeInteger(id) || id < 0)) {
      throw usageError(`"${brokers}" is no list of broker ids, such as 1,2.`);
    }
    dryRun(cli, `Would give ${topic}:${partition} the replicas ${brokers}.`);
    const body = await cli.json<Partition>({
      method: 'PATCH',
      path: resourcePath('topics', topic, `/partitions/${partition}`),
      body: { replicas },
    });
    await cli.out.show({
      body,
      names: () => [String(body.partition)],
      text: () => `${topic}:${body.partition} leader ${body.leader}, replicas ${body.replicas.join(',')}`,
    });
  });
}

function brokerTable(brokers: readonly Broker[]): Table {
  return {
    columns: [
      { title: 'BROKER', right: true },
      'URL',
      'VERSION',
      'RACK',
      'CONTROLLER',
      { title: 'LEADS', right: true },
      { title: 'CONNECTIONS', right: true },
      'UP',
    ],
    rows: brokers.map((broker) => [
      broker.id,
      broker.url,
      broker.version,
      broker.rack,
      broker.isController ? 'yes' : '',
      broker.partitionsLed,
      broker.connections,
      spanText(Date.now() - broker.startedAt),
    ]),
  };
}
