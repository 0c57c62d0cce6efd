// The site for all measurements of groups: a server with its private Redis, topics with records, and members on sockets that
// release revoked partitions at once.
import { WebSocket } from 'ws';
import { keepSecret, memberHeader } from '../../testbed/member-secrets.ts';
import { WeirServer } from './processes.ts';

export interface GroupScale {
  quick: boolean;
  rounds: number;
}

/** A member on a socket. */
export interface BenchMember {
  ws: WebSocket;
  /** How many records it has received. */
  records(): number;
}

export class GroupSite {
  readonly server: WeirServer;
  readonly scale: GroupScale;

  private constructor(server: WeirServer, scale: GroupScale) {
    this.server = server;
    this.scale = scale;
  }

  static async open(scale: GroupScale): Promise<GroupSite> {
    return new GroupSite(await WeirServer.open(), scale);
  }

  async close(): Promise<void> {
    await this.server.stop();
  }

  /** Sends a request with JSON. @returns the JSON of the response. @throws Error if it is not a success */
  async ask<Result = unknown>(method: string, path: string, body?: unknown): Promise<Result> {
    const response = await fetch(this.server.url + path, {
      method,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...memberHeader(path, body) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
    const result = text === '' ? undefined : JSON.parse(text);
    keepSecret(path, result);
    return result as Result;
  }

  async createTopic(name: string, partitions: number): Promise<void> {
    await this.ask('POST', '/v1/topics', { name, partitions });
  }

  /** Opens the socket of a member; resolves when it has joined. */
  async join(group: string, topic: string, query = '', credit = 0): Promise<BenchMember> {
    const address = `${this.server.url.replace('http', 'ws')}/v1/groups/${group}/stream`;
    const ws = new WebSocket(`${address}?topics=${topic}&reset=earliest${query}`, {
      perMessageDeflate: false,
      skipUTF8Validation: true,
    });
    let records = 0;
    await new Promise<void>((resolve, reject) => {
      ws.on('error', reject);
      ws.on('message', (data: Buffer) => {
        // Frames of records are large, and begin with their type, so they need not be parsed.
        const head = data.toString('latin1', 0, 24);
        if (head.startsWith('{"type":"records"')) {
          records += countOf(data);
        } else if (head.startsWith('{"type":"revoking"')) {
          ws.send('{"type":"released"}');
        } else if (head.startsWith('{"type":"joined"')) {
          if (credit > 0) ws.send(JSON.stringify({ type: 'credit', records: credit }));
          resolve();
        } else if (head.startsWith('{"type":"error"')) {
          reject(new Error(data.toString()));
        }
      });
    });
    return { ws, records: () => records };
  }

  /** Waits until the group is stable with so many members, or empty. @returns when that was seen, as performance.now() */
  async stable(group: string, members: number): Promise<number> {
    for (;;) {
      const { groups } = await this.ask<{ groups: ListedGroup[] }>('GET', `/v1/groups?limit=1&after=${before(group)}`);
      const [found] = groups;
      const isSettled = members > 0 ? 'stable' : 'empty';
      if (found?.groupId === group && found.state === isSettled && found.members === members) return performance.now();
      await pause(2);
    }
  }
}

interface ListedGroup {
  groupId: string;
  state: string;
  members: number;
}

const mark = Buffer.from('{"offset":');

/** How many records a frame or response has, found without parsing it. */
export function countOf(data: Buffer): number {
  let count = 0;
  for (let at = data.indexOf(mark); at >= 0; at = data.indexOf(mark, at + mark.length)) count += 1;
  return count;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A name that sorts just before another. */
function before(name: string): string {
  return `${name.slice(0, -1)}${String.fromCharCode(name.charCodeAt(name.length - 1) - 1)}~`;
}
