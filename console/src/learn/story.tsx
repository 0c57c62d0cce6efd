// The story: what to do, and what one sees happen in the tree. A step is done when the tree shows it.

import { Icon } from '../ui/icon.tsx';
import type { ClusterPicture } from './kafka-tree.ts';

interface Step {
  title: string;
  command?: string;
  /** What to look at. */
  see: string;
  isDone: (now: ClusterPicture, before: Seen) => boolean;
}

/** What the page has seen since it was opened. */
export interface Seen {
  membersMost: number;
  brokersMost: number;
}

const membersOf = ({ groups }: ClusterPicture) => groups.reduce((sum, { members }) => sum + members.length, 0);

const steps: readonly Step[] = [
  {
    title: 'Start a cluster of three brokers',
    command: 'weir demo --cluster',
    see: 'Each broker creates an ephemeral node below /brokers/ids. The first one to create /controller is the controller.',
    isDone: (_now, { brokersMost }) => brokersMost >= 2,
  },
  {
    title: 'Create a topic',
    command: 'weir topic create clicks --partitions 3 --replication-factor 3',
    see: 'The topic appears below /brokers/topics. Each of its partitions gets a state with a leader and its ISR: the arrows in the drawing.',
    isDone: ({ topics }) => topics.length > 0,
  },
  {
    title: 'Let two members join a group',
    command: 'weir consume -g web clicks',
    see: 'Run it in two terminals. Each member gets a node below /consumers/web/ids, and /consumers/web/owners says which partitions it reads.',
    isDone: (_now, { membersMost }) => membersMost >= 2,
  },
  {
    title: 'Stop one member',
    see: 'Press Ctrl-C in one of the terminals. Its ephemeral node goes, and its partitions get the other member as their owner. The offsets stay.',
    isDone: (now, { membersMost }) => membersMost >= 2 && membersOf(now) < membersMost,
  },
  {
    title: 'Stop a broker',
    see: 'Its node below /brokers/ids goes. The controller takes it out of the ISR and elects other leaders: the leader epochs grow. If it was the controller, another broker takes over, and /controller_epoch grows.',
    isDone: ({ brokers }, { brokersMost }) => brokersMost >= 2 && brokers.length < brokersMost,
  },
];

export function Story({ picture, seen }: { picture: ClusterPicture; seen: Seen }) {
  const done = steps.map(({ isDone }) => isDone(picture, seen));
  const next = done.indexOf(false);
  return (
    <ol class="story">
      {steps.map(({ title, command, see }, index) => (
        <li key={title} data-state={done[index] ? 'done' : index === next ? 'next' : 'later'}>
          <h3>
            {done[index] ? <Icon name="check" /> : <span class="story-number">{index + 1}</span>}
            {title}
            <span class="visually-hidden">{done[index] ? ', done' : index === next ? ', next' : ''}</span>
          </h3>
          {command !== undefined && <pre class="data">{command}</pre>}
          <p>{see}</p>
        </li>
      ))}
    </ol>
  );
}

/** What has been seen, with a newer picture. */
export function seenWith(seen: Seen, picture: ClusterPicture): Seen {
  return {
    membersMost: Math.max(seen.membersMost, membersOf(picture)),
    brokersMost: Math.max(seen.brokersMost, picture.brokers.length),
  };
}
