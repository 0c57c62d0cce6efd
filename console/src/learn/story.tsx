// The story: what to do, and what one sees happen in the tree. A step is done when the tree shows it.

import { hasToken } from '../live/session.ts';
import { copyText } from '../ui/clipboard.tsx';
import { Icon } from '../ui/icon.tsx';
import { IconButton } from '../ui/parts.tsx';
import type { ClusterPicture } from './kafka-tree.ts';

interface Step {
  title: string;
  /** What to type, if it is done in a terminal. */
  command?: (now: ClusterPicture) => string;
  /** What to do, and what to look at. */
  see: string;
  isDone: (now: ClusterPicture, before: Seen) => boolean;
}

/** What the page has seen since it was opened. */
export interface Seen {
  membersMost: number;
  brokersMost: number;
}

/** Where `weir` looks by itself. */
const defaultUrl = 'http://localhost:7070';
const server = new URL('..', location.href).href.replace(/\/$/, '');
/** The command with the address of this server: it works in any terminal. */
const weir = server === defaultUrl ? 'weir' : `weir -u ${server}`;
/** Other names than those of `weir demo`, which does the same by itself. */
const [topic, group] = ['lessons', 'learners'];
const replicasMax = 3;

/** The topic that the commands name: the one of this page, or, where the reader has created another one instead, the first. */
const topicOf = ({ topics }: ClusterPicture) =>
  topics.some(({ name }) => name === topic) ? topic : (topics[0]?.name ?? topic);

const membersOf = ({ groups }: ClusterPicture) => groups.reduce((sum, { members }) => sum + members.length, 0);

const steps: readonly Step[] = [
  {
    title: 'Start a cluster of three brokers',
    command: () => 'weir demo --cluster',
    see: 'It prints the addresses of its brokers: open the console of one of them, and this page there. Each broker creates an ephemeral node below /brokers/ids. The first one to create /controller is the controller. Where a single server runs, go on with the next step; only the last one needs several.',
    isDone: (_now, { brokersMost }) => brokersMost >= 2,
  },
  {
    title: 'Create a topic',
    command: ({ brokers }) =>
      `${weir} topic create ${topic} --partitions 3 --replication-factor ${Math.max(1, Math.min(replicasMax, brokers.length))}`,
    see: 'The topic appears below /brokers/topics. Each of its partitions gets a state with a leader and its ISR: the arrows in the drawing.',
    isDone: ({ topics }) => topics.length > 0,
  },
  {
    title: 'Let two members join a group',
    command: (now) => `${weir} consume -g ${group} ${topicOf(now)} --from earliest`,
    see: `Run it in two terminals. Each member gets a node below /consumers/${group}/ids, and /consumers/${group}/owners says which partitions it reads.`,
    isDone: (_now, { membersMost }) => membersMost >= 2,
  },
  {
    title: 'Append records',
    command: (now) => `seq 30 | ${weir} produce ${topicOf(now)}`,
    see: `The members print them, and commit how far they have read: the numbers below /consumers/${group}/offsets grow.`,
    isDone: ({ groups }) => groups.some(({ offsets }) => offsets.some(({ offset }) => offset > 0)),
  },
  {
    title: 'Stop one member',
    see: 'Press Ctrl-C in one of the terminals. Its ephemeral node goes, and its partitions get the other member as their owner. The offsets stay.',
    isDone: (now, { membersMost }) => membersMost >= 2 && membersOf(now) < membersMost,
  },
  {
    title: 'Stop a broker',
    see: 'In the demo press Return until it kills the controller; in a cluster of your own kill a server (kill -9). When its session ends, its node below /brokers/ids goes. The controller takes it out of the ISR and elects other leaders: the leader epochs grow. If it was the controller, another broker takes over, and /controller_epoch grows. If it has served this page, open the page of another broker.',
    isDone: ({ brokers }, { brokersMost }) => brokersMost >= 2 && brokers.length < brokersMost,
  },
];

export function Story({ picture, seen }: { picture: ClusterPicture; seen: Seen }) {
  const done = steps.map(({ isDone }) => isDone(picture, seen));
  const next = done.indexOf(false);
  return (
    <>
      <p class="hint">
        The commands are for a terminal. In a clone of the repository <code>npx weir</code> is the command.
        {hasToken() && (
          <>
            {' '}
            Set <code>WEIR_TOKEN</code> to your token there.
          </>
        )}
      </p>
      <ol class="story">
        {steps.map(({ title, command, see }, index) => (
          <li key={title} data-state={done[index] ? 'done' : index === next ? 'next' : 'later'}>
            <h3>
              {done[index] ? <Icon name="check" /> : <span class="story-number">{index + 1}</span>}
              {title}
              <span class="visually-hidden">{done[index] ? ', done' : index === next ? ', next' : ''}</span>
            </h3>
            {command && <Command text={command(picture)} />}
            <p>{see}</p>
          </li>
        ))}
      </ol>
    </>
  );
}

function Command({ text }: { text: string }) {
  return (
    <div class="story-command">
      <pre class="data" tabIndex={0}>
        {text}
      </pre>
      <IconButton icon="copy" label={`Copy ${text}`} onClick={() => void copyText(text, 'The command')} />
    </div>
  );
}

/** What has been seen, with a newer picture. */
export function seenWith(seen: Seen, picture: ClusterPicture): Seen {
  return {
    membersMost: Math.max(seen.membersMost, membersOf(picture)),
    brokersMost: Math.max(seen.brokersMost, picture.brokers.length),
  };
}
