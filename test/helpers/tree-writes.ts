// Writes to the tree over HTTP, for tests that watch it.
import { http, type TestServer } from './server.ts';

/** Creates a node or sets its data. Returns the zxid. */
export async function put(server: Pick<TestServer, 'url'>, path: string, data = '', query = ''): Promise<number> {
  return (await http(`${server.url}/v1/nodes${path}${query}`, 'PUT', data)).body.stat.mzxid;
}

/** Sets a node's data 25 times in one transaction of 400 kB of events. Returns the zxid. */
export async function putMuch(server: Pick<TestServer, 'url'>, path: string): Promise<number> {
  const ops = Array.from({ length: 25 }, () => ({ op: 'set', path, data: 'x'.repeat(16_384) }));
  return (await http(`${server.url}/v1/multi`, 'POST', { ops })).body.zxid;
}
