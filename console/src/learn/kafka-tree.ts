// The part of the tree in which Kafka keeps its cluster on ZooKeeper: what each node is for, and what the nodes together say.

/** A node as a watch or a read shows it. */
export interface SeenNode {
  path: string;
  /** Its data as text. */
  data: string;
  isEphemeral: boolean;
}

export interface ClusterPicture {
  clusterId: string | undefined;
  controller: { brokerId: number; epoch: number } | undefined;
  brokers: readonly { id: number; endpoint: string }[];
  topics: readonly TopicPicture[];
  groups: readonly GroupPicture[];
}

export interface TopicPicture {
  name: string;
  partitions: readonly PartitionPicture[];
}

export interface PartitionPicture {
  partition: number;
  leader: number;
  leaderEpoch: number;
  isr: readonly number[];
  replicas: readonly number[];
}

interface GroupPicture {
  name: string;
  members: readonly string[];
  /** The member that has each partition. */
  owners: readonly { topic: string; partition: number; member: string }[];
  offsets: readonly { topic: string; partition: number; offset: number }[];
}

const byNumber = (a: number, b: number) => a - b;

/** What the nodes say together. What cannot be read is left out: it may be of a newer version. */
export function pictureOf(nodes: ReadonlyMap<string, SeenNode>): ClusterPicture {
  const brokers: { id: number; endpoint: string }[] = [];
  const states = new Map<string, PartitionPicture[]>();
  const replicas = new Map<string, Record<string, number[]>>();
  const groups = new Map<
    string,
    { members: string[]; owners: GroupPicture['owners'][number][]; offsets: GroupPicture['offsets'][number][] }
  >();
  const group = (name: string) => {
    const known = groups.get(name) ?? { members: [], owners: [], offsets: [] };
    groups.set(name, known);
    return known;
  };
  for (const { path, data } of nodes.values()) {
    const parts = path.split('/').slice(1);
    const [root, folder, name = '', more, at, leaf] = parts;
    const json = jsonOf(data);
    if (root === 'brokers' && folder === 'ids' && parts.length === 3 && json)
      brokers.push({ id: Number(name), endpoint: endpointOf(json) });
    else if (root === 'brokers' && folder === 'topics' && parts.length === 3 && json)
      replicas.set(name, (json.partitions ?? {}) as Record<string, number[]>);
    else if (root === 'brokers' && folder === 'topics' && more === 'partitions' && leaf === 'state' && json) {
      const state = {
        leader: Number(json.leader),
        leaderEpoch: Number(json.leader_epoch),
        isr: (json.isr ?? []) as number[],
      };
      states.set(name, [...(states.get(name) ?? []), { partition: Number(at), replicas: [], ...state }]);
    } else if (root === 'consumers' && folder !== undefined) {
      const [, , kind, first, second] = parts;
      if (kind === 'ids' && first !== undefined && parts.length === 4) group(folder).members.push(first);
      else if (kind === 'owners' && first !== undefined && second !== undefined)
        group(folder).owners.push({ topic: first, partition: Number(second), member: data });
      else if (kind === 'offsets' && first !== undefined && second !== undefined)
        group(folder).offsets.push({ topic: first, partition: Number(second), offset: Number(data) });
    }
  }
  const controller = jsonOf(nodes.get('/controller')?.data);
  const cluster = jsonOf(nodes.get('/cluster/id')?.data);
  return {
    clusterId: cluster && String(cluster.id),
    controller: controller && {
      brokerId: Number(controller.brokerid),
      epoch: Number(nodes.get('/controller_epoch')?.data ?? 0),
    },
    brokers: brokers.sort((a, b) => a.id - b.id),
    topics: [...replicas.keys()].sort().map((name) => ({
      name,
      partitions: (states.get(name) ?? [])
        .sort((a, b) => byNumber(a.partition, b.partition))
        .map((state) => ({ ...state, replicas: replicas.get(name)?.[state.partition] ?? [] })),
    })),
    groups: [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, parts]) => ({ name, ...parts })),
  };
}

function jsonOf(text: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '');
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function endpointOf({ endpoints, host, port }: Record<string, unknown>): string {
  return Array.isArray(endpoints) && endpoints.length > 0 ? String(endpoints[0]) : `${host}:${port}`;
}

const explanations: readonly [path: RegExp, text: string][] = [
  [/^\/brokers$/, 'Everything about the brokers, and the topics that they keep.'],
  [/^\/brokers\/ids$/, 'The brokers that are alive: one ephemeral node each.'],
  [
    /^\/brokers\/ids\/\d+$/,
    'A living broker, with where clients reach it. Ephemeral: if its session ends, the node goes, and the controller hears of it.',
  ],
  [/^\/brokers\/seqid$/, 'Its version counts up, and gives each new broker a number that no other has.'],
  [/^\/brokers\/topics$/, 'The topics: one node each.'],
  [/^\/brokers\/topics\/[^/]+$/, 'A topic: which brokers may lead each of its partitions. The first one is preferred.'],
  [/^\/brokers\/topics\/[^/]+\/partitions(\/\d+)?$/, 'The partitions of the topic, each with its state below.'],
  [
    /\/partitions\/\d+\/state$/,
    'Who leads the partition now, since which leader epoch, and which replicas are in sync (ISR). The controller writes it.',
  ],
  [
    /^\/controller$/,
    'The broker that is the controller. Ephemeral: the first broker that creates it wins the election.',
  ],
  [/^\/controller_epoch$/, 'Grows with each controller, so that orders of an earlier one are known to be old.'],
  [/^\/cluster$/, 'What the cluster is called.'],
  [/^\/cluster\/id$/, 'The id of the cluster, made once and never changed.'],
  [/^\/config$/, 'Settings that brokers share.'],
  [/^\/config\/topics(\/[^/]+)?$/, 'The settings of topics that differ from the defaults.'],
  [/^\/admin(\/delete_topics)?$/, 'Work for the controller.'],
  [/^\/admin\/delete_topics\/[^/]+$/, 'A topic that is being deleted; the node goes when its logs are gone.'],
  [/^\/consumers$/, 'The consumer groups: one node each.'],
  [/^\/consumers\/[^/]+$/, 'A consumer group: its members share the partitions of their topics.'],
  [/^\/consumers\/[^/]+\/ids$/, 'The members of the group that are alive.'],
  [
    /^\/consumers\/[^/]+\/ids\/[^/]+$/,
    'A member and what it subscribes to. Ephemeral: if it stops, the node goes, and the others take over.',
  ],
  [/^\/consumers\/[^/]+\/owners(\/[^/]+)?$/, 'Who reads what: one node for each partition.'],
  [
    /^\/consumers\/[^/]+\/owners\/[^/]+\/\d+$/,
    'The member that reads this partition. Ephemeral: it belongs to the session of the member.',
  ],
  [/^\/consumers\/[^/]+\/offsets(\/[^/]+)?$/, 'How far the group has read: one node for each partition.'],
  [
    /^\/consumers\/[^/]+\/offsets\/[^/]+\/\d+$/,
    'The committed offset: the next record that the group reads here, whoever reads it.',
  ],
];

/** What a node of the reserved tree is for, in a sentence or two. */
export function explain(path: string): string {
  return explanations.find(([pattern]) => pattern.test(path))?.[1] ?? 'A node of yours, or of a newer version.';
}
