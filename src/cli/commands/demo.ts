// weir demo: shows what happens in a cluster.
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { usageError } from '../errors.ts';
import { addCommand } from '../help.ts';

export function addDemoCommands(program: Command, cli: Cli): void {
  addCommand(program, 'demo', {
    summary: 'Show what happens in a cluster, with three brokers of its own',
    description:
      'Starts three brokers over one private Redis, and walks through the tree: a topic is created, members join and leave, the controller is killed, its partitions get new leaders. It says in words what each change of the tree means. It needs no server, and touches none. Everything is stopped and deleted in the end, also after Ctrl-C.',
    examples: [{ line: 'weir demo', says: 'return goes on to the next step', follows: true }],
  })
    .option('--cluster', 'three brokers over one private Redis; there is no other demonstration yet')
    .option('--auto', 'go on without a key')
    .action(async ({ auto }: { auto?: true }) => {
      if (cli.globals.dryRun) throw usageError('The demonstration is its own cluster: there is no dry run.');
      cli.isFollowing = true;
      const { clusterDemo } = await import('../demo/cluster-demo.ts');
      return clusterDemo(cli, auto === true || !cli.io.stdin.isTTY);
    });
}
