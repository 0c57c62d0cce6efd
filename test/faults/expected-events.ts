// Computes the events that a watch must receive, from the history of the store and the contract alone. It shares no code with
// the service, and is slow but easy to read.
import type { NodeEvent, Transaction } from '../../src/store/tree/node-codec.ts';

export interface Watched {
  path: string;
  mode: 'node' | 'children' | 'recursive';
  data: boolean;
}

/** One message of a watch: the matched events of a transaction. */
export interface Message {
  zxid: number;
  events: any[];
}

/** All messages for the transactions after `after` up to `upTo`. */
export function expectedMessages(
  history: readonly Transaction[],
  watched: Watched,
  after: number,
  upTo: number,
): { zxid: number; events: (NodeEvent | 'children')[] }[] {
  return history
    .filter(({ zxid }) => zxid > after && zxid <= upTo)
    .map(({ zxid, events }) => ({ zxid, events: expectedEvents(events, watched) }))
    .filter(({ events }) => events.length > 0);
}

function expectedEvents(events: NodeEvent[], { path, mode }: Watched): (NodeEvent | 'children')[] {
  const below = path === '/' ? '/' : `${path}/`;
  const isChild = (other: string) =>
    other !== '/' && other.startsWith(below) && !other.slice(below.length).includes('/');
  const lastOfList = events.findLastIndex((event) => event.kind !== 'changed' && isChild(event.path));
  return events.flatMap((event, i): (NodeEvent | 'children')[] => {
    const own = event.path === path;
    if (mode === 'recursive') return own || event.path.startsWith(below) ? [event] : [];
    if (i === lastOfList) return ['children'];
    return own && (mode === 'node' || event.kind === 'deleted') ? [event] : [];
  });
}

/** The faults in the messages of a watch, one line each; only the first few. */
export function messageProblems(
  received: readonly Message[],
  expected: { zxid: number; events: (NodeEvent | 'children')[] }[],
  watched: Watched,
): string[] {
  const problems: string[] = [];
  for (let i = 0; i < Math.max(received.length, expected.length) && problems.length === 0; i += 1) {
    const [got, due] = [received[i], expected[i]];
    if (got?.zxid !== due?.zxid) {
      const around = (list: readonly { zxid: number }[]) =>
        list.slice(Math.max(0, i - 2), i + 3).map(({ zxid }) => zxid);
      problems.push(
        `Message ${i} has zxid ${got?.zxid}, not ${due?.zxid}: around it ${around(received)}, due were ${around(expected)} ` +
          `(${received.length} received, ${expected.length} due)`,
      );
    } else if (got && due) {
      if (got.events.length !== due.events.length) {
        problems.push(`Transaction ${got.zxid} came with ${got.events.length} events, not ${due.events.length}`);
      }
      for (const [n, event] of due.events.entries()) {
        const problem = eventProblem(got.events[n], event, watched);
        if (problem) problems.push(`Transaction ${got.zxid}, event ${n}: ${problem}`);
      }
    }
  }
  return problems.map((problem) => `${watched.mode} ${watched.path}: ${problem}`);
}

function eventProblem(got: any, due: NodeEvent | 'children', watched: Watched): string | undefined {
  if (due === 'children') {
    return got?.type === 'children' && got.path === watched.path
      ? undefined
      : `no children, but ${JSON.stringify(got)}`;
  }
  if (got?.type !== due.kind || got.path !== due.path) return `${JSON.stringify(got)}, not ${due.kind} ${due.path}`;
  for (const [name, value] of Object.entries(due.stat)) {
    if (got.stat?.[name] !== value) return `${name} is ${got.stat?.[name]}, not ${value}`;
  }
  if (!watched.data || due.data === undefined) return got.data === undefined ? undefined : 'data that nobody asked for';
  const bytes = Buffer.from(got.data ?? '', got.encoding === 'base64' ? 'base64' : 'utf8');
  const isCut = due.stat.dataLength > 16_384;
  if ((got.truncated === true) !== isCut) return `${due.stat.dataLength} bytes, truncated: ${got.truncated}`;
  // Truncation may drop the beginning of a character that it has split.
  if (isCut ? bytes.length < 16_381 || bytes.length > 16_384 : bytes.length !== due.stat.dataLength) {
    return `${bytes.length} bytes of ${due.stat.dataLength}`;
  }
  return bytes.equals(due.data.subarray(0, bytes.length)) ? undefined : 'other data than was written';
}
