// Who leads what: topics against brokers, from the summaries of topics, and how evenly the partitions are led.

export interface TopicLeaders {
  name: string;
  partitions: number;
  leaders?: readonly { brokerId: number; partitions: number }[];
  notPreferred?: number;
}

export interface LeadersRow {
  topic: string;
  partitions: number;
  /** By the id of a broker. */
  led: ReadonlyMap<number, number>;
  offline: number;
  notPreferred: number;
}

export interface LeadersMatrix {
  rows: readonly LeadersRow[];
  /** Every broker that lives or leads, by id. */
  brokerIds: readonly number[];
  offline: number;
  notPreferred: number;
}

/** The leader of a partition that has none. */
const nobody = -1;

/** @param alive the ids of the brokers that live */
export function leadersMatrix(topics: readonly TopicLeaders[], alive: readonly number[]): LeadersMatrix {
  const ids = new Set(alive);
  const rows = topics.map(({ name, partitions, leaders = [], notPreferred = 0 }) => {
    const led = new Map(leaders.map(({ brokerId, partitions: count }) => [brokerId, count]));
    const offline = led.get(nobody) ?? 0;
    led.delete(nobody);
    for (const id of led.keys()) ids.add(id);
    return { topic: name, partitions, led, offline, notPreferred };
  });
  const sum = (of: (row: LeadersRow) => number) => rows.reduce((total, row) => total + of(row), 0);
  return {
    rows,
    brokerIds: [...ids].sort((a, b) => a - b),
    offline: sum(({ offline }) => offline),
    notPreferred: sum(({ notPreferred }) => notPreferred),
  };
}

/** What the leader of a partition is, from the state of the partition. */
export function roleOf(
  { leader, isr, replicas }: { leader: number; isr: readonly number[]; replicas: readonly number[] },
  brokerId: number,
): 'leader' | 'in sync' | 'away' | undefined {
  if (leader === brokerId) return 'leader';
  if (isr.includes(brokerId)) return 'in sync';
  return replicas.includes(brokerId) ? 'away' : undefined;
}

/** Reads ids of brokers as a user types them: `1001, 1002`. @returns the ids, or what is wrong */
export function parseReplicas(text: string, alive: readonly number[]): { replicas: number[] } | { error: string } {
  const parts = text.split(/[\s,]+/).filter(Boolean);
  if (parts.length === 0) return { error: 'Name at least one broker.' };
  const wrong = parts.find((part) => !/^\d{1,10}$/.test(part));
  if (wrong !== undefined) return { error: `"${wrong}" is no id of a broker: ids are whole numbers.` };
  const replicas = parts.map(Number);
  if (new Set(replicas).size < replicas.length) return { error: 'Name each broker once.' };
  const unknown = replicas.find((id) => !alive.includes(id));
  if (unknown !== undefined) return { error: `Broker ${unknown} is not alive; these are: ${alive.join(', ')}.` };
  return { replicas };
}
