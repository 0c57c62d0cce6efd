// weir demo: shows what happens in a cluster.
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { addCommand } from '../help.ts';

export function addDemoCommands(program: Command, cli: Cli): void {
  addCommand(program, 'demo', {
    summary: 'Show what happens in a cluster, with three brokers of its own',
    description:
      'With --cluster it starts three brokers over one private Redis, and walks through the tree: a topic is created, members join and leave, the controller is killed, its partitions get new leaders. It says in words what each change of the tree means. Everything is stopped and deleted in the end, also after Ctrl-C. Without --cluster it says which demonstrations there are.',
    examples: ['weir demo', { line: 'weir demo --cluster', says: 'return goes on to the next step', follows: true }],
  })
    .option('--cluster', 'three brokers over one private Redis')
    .option('--auto', 'go on without a key')
    .action(async ({ cluster, auto }: { cluster?: true; auto?: true }) => {
      if (cluster) {
        cli.isFollowing = true;
        const { clusterDemo } = await import('../demo/cluster-demo.ts');
        return clusterDemo(cli, auto === true || !cli.io.stdin.isTTY);
      }
      await cli.out.line(
        'weir demo --cluster   three brokers, and what happens in the tree when members and brokers come and go\nnpm run demo          in a clone of the repository: the log of a web server, counted by a group of which a member dies',
      );
    });
}
