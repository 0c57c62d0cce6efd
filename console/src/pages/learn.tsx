// Kafka on ZooKeeper: the part of the tree in which Kafka keeps its cluster, live and explained, with a drawing of what it says.
import '../styles/log.css';
import '../styles/learn.css';
import { useMemo, useRef, useState } from 'preact/hooks';
import { ClusterDrawing } from '../learn/cluster-drawing.tsx';
import { roots, useFollowed } from '../learn/followed-nodes.ts';
import { pictureOf, type SeenNode } from '../learn/kafka-tree.ts';
import { NodeList } from '../learn/node-list.tsx';
import { type Seen, Story, seenWith } from '../learn/story.tsx';
import { linkTo, route, setQuery } from '../router.ts';
import { count } from '../ui/format.ts';
import { PageHead, Panel, Problem } from '../ui/parts.tsx';

export default function Learn() {
  const { nodes, marks, isCut, error } = useFollowed();
  const present = useMemo(() => new Map([...nodes].filter(([path]) => marks.get(path) !== 'gone')), [nodes, marks]);
  const picture = useMemo(() => pictureOf(present), [present]);
  const seen = useRef<Seen>({ membersMost: 0, brokersMost: 0 });
  seen.current = seenWith(seen.current, picture);
  const [picked, setPicked] = useState<string | undefined>(undefined);
  const wanted = route.value.query.get('topic');
  const topic = picture.topics.find(({ name }) => name === wanted) ?? picture.topics[0];
  const shown = useMemo(() => sorted([...nodes.values()], topic?.name), [nodes, topic?.name]);
  return (
    <>
      <PageHead title="Kafka on ZooKeeper">
        Before Kafka had its own quorum, its brokers agreed through nodes in ZooKeeper. Weirkeeper keeps its cluster in
        the same nodes. Watch them while things happen.
      </PageHead>
      {error !== undefined && <Problem error={error} />}
      <div class="learn">
        <div class="learn-main">
          <Panel
            title="What the nodes say"
            actions={
              picture.topics.length > 1 && (
                <select
                  class="input"
                  aria-label="Topic in the drawing"
                  value={topic?.name}
                  onChange={(event) => setQuery({ topic: event.currentTarget.value })}
                >
                  {picture.topics.map(({ name }) => (
                    <option key={name}>{name}</option>
                  ))}
                </select>
              )
            }
          >
            <ClusterDrawing picture={picture} topic={topic} marks={marks} />
            {!topic && present.has('/brokers') && (
              <p class="hint">
                There is no topic yet. <a href={linkTo('topics')}>Create one</a>, and its partitions appear here.
              </p>
            )}
          </Panel>
          <div class="learn-nodes">
            <Panel title="The nodes" isFlush actions={<span class="hint">{count(present.size)}, live</span>}>
              <NodeList nodes={shown} marks={marks} picked={picked} onPick={setPicked} />
              {isCut && (
                <p class="table-note hint">
                  There are more nodes than this page follows. The <a href={linkTo('tree')}>tree</a> has all of them.
                </p>
              )}
            </Panel>
          </div>
        </div>
        <aside class="learn-side" aria-label="Story">
          <Panel title="Try it">
            <Story picture={picture} seen={seen.current} />
          </Panel>
        </aside>
      </div>
    </>
  );
}

/** By path, numbers as numbers. Of the topics only one is shown with its partitions. */
function sorted(nodes: readonly SeenNode[], topic: string | undefined): SeenNode[] {
  const collator = new Intl.Collator('en', { numeric: true });
  return nodes
    .filter(({ path }) => {
      const [, root, folder, name, more] = path.split('/');
      return !(root === 'brokers' && folder === 'topics' && more !== undefined && name !== topic);
    })
    .sort((a, b) => placeOf(a.path) - placeOf(b.path) || comparePaths(a.path, b.path, collator));
}

function placeOf(path: string): number {
  return roots.findIndex((root) => path === root || path.startsWith(`${root}/`));
}

function comparePaths(a: string, b: string, collator: Intl.Collator): number {
  const [left, right] = [a.split('/'), b.split('/')];
  for (const [index, part] of left.entries()) {
    const other = right[index];
    if (other === undefined) return 1;
    const order = collator.compare(part, other);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}
