// Shared by tests of members on sockets: two brokers, a group for each test, and the frames that a socket received.
import type { Test } from 'tap';
import { count, createTopic } from './groups.ts';
import { eventually, http, startTestServer, type TestServer } from './server.ts';
import { openSocket, type TestSocket } from './socket.ts';

export interface SocketGroups {
  one: TestServer;
  two: TestServer;
  /** Creates a topic and a group that no other test uses, both with the returned name. */
  newGroup(partitions: number): Promise<string>;
  /** Opens the socket of a member, through the first broker by default; it reads from the beginning. */
  member(t: Test, group: string, query?: string, on?: { url: string }): Promise<TestSocket>;
  /** The description of the group over HTTP. */
  describe(group: string): Promise<any>;
}

export async function startSocketGroups(t: Test): Promise<SocketGroups> {
  const one = await startTestServer(t, { brokerId: 1001 });
  const two = await startTestServer(t, { brokerId: 1002 }, one.target);
  let groups = 0;
  return {
    one,
    two,
    newGroup: async (partitions) => {
      groups += 1;
      const name = `group-${groups}`;
      await createTopic(one.url, name, partitions);
      return name;
    },
    member: (t, group, query = '', on = one) =>
      openSocket(t, `${on.url}/v1/groups/${group}/stream?topics=${group}&reset=earliest${query}`),
    describe: async (group) => (await http(`${one.url}/v1/groups/${group}`)).body,
  };
}

export const joined = (socket: TestSocket): Promise<any> => socket.frame({ type: 'joined' });

export const credit = (socket: TestSocket, records: number): void => socket.send({ type: 'credit', records });

/** The values of all records that the socket received. */
export const values = ({ frames }: TestSocket): unknown[] =>
  frames.filter(({ type }) => type === 'records').flatMap(({ records }) => records.map(({ value }: any) => value));

export const typesOf = ({ frames }: TestSocket): string[] => frames.map(({ type }) => type);

/** How many partitions the member has, by its frames. */
export function held({ frames }: TestSocket): number {
  let sum = 0;
  for (const { type, assignment, partitions } of frames) {
    if (type === 'joined') sum += count(assignment);
    if (type === 'assigned') sum += count(partitions);
    if (type === 'revoked') sum -= count(partitions);
  }
  return sum;
}

/** Resolves when all frames that the server has sent so far have arrived, as a ping and its pong show. */
export async function settled(socket: TestSocket): Promise<void> {
  const pongs = () => typesOf(socket).filter((type) => type === 'pong').length;
  const before = pongs();
  socket.send({ type: 'ping' });
  await eventually(() => pongs() > before, 'a pong');
}

/** Commits, and returns the response. */
export async function committed(socket: TestSocket, id: string, offsets: object[]): Promise<any> {
  socket.send({ type: 'commit', id, offsets });
  return eventually(() => socket.frames.find((frame) => frame.id === id), `a response to ${id}`);
}

/** Releases revoked partitions at once. */
export function releases(socket: TestSocket): void {
  socket.ws.on('message', (data: Buffer) => {
    const { type, memberEpoch } = JSON.parse(data.toString());
    if (type === 'revoking') socket.send({ type: 'released', memberEpoch });
  });
}

export const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
