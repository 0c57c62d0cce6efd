// Servers with several workers, as processes over a shared Redis: who serves, and who has served what.
import { request } from 'node:http';
import type { Test } from 'tap';
import { identifyProcess } from '../../src/embedded-redis/process-lock.ts';
import { startRedisNode } from '../../testbed/redis-node.ts';
import { type ServerProcess, startServerProcess } from './process.ts';

export interface WorkerProcess {
  worker: number;
  pid: number;
  broker: number;
}

export interface WorkersServer extends ServerProcess {
  /** The processes that have served so far, by the log, the newest of each worker. */
  workers(): WorkerProcess[];
}

/** Starts a server with workers over a Redis of its own, and ends with the test. */
export async function startWorkers(t: Test, env: Record<string, string> = {}): Promise<WorkersServer> {
  const redis = await startRedisNode(t, []);
  const shared = { WEIR_REDIS_URL: `redis://127.0.0.1:${redis.port}`, WEIR_DRAIN_DELAY: '0s', WEIR_WORKERS: '2' };
  return withWorkers(await startServerProcess(t, { ...shared, ...env }));
}

export function withWorkers(server: ServerProcess): WorkersServer {
  const workers = () => {
    const newest = new Map<number, WorkerProcess>();
    for (const { msg, worker, workerPid, broker } of server.log) {
      if (msg !== 'A worker serves') continue;
      newest.set(Number(worker), { worker: Number(worker), pid: Number(workerPid), broker: Number(broker) });
    }
    return [...newest.values()].sort((a, b) => a.worker - b.worker);
  };
  return { ...server, workers };
}

/** Whether a process runs. One that has ended stays a zombie for as long as its parent does not take its end, as some containers' does not. */
export const isRunning = (pid: number): boolean => identifyProcess(pid) !== undefined;

/** Sends one request on a connection of its own. Rejects if there is no response. */
export function onNewConnection(
  url: string,
  method = 'GET',
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: any }> {
  return new Promise((resolve, reject) => {
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const sent = request(url, { method, agent: false, headers: { ...type, ...headers } }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
      });
      response.on('error', reject);
      response.on('end', () => {
        const isJson = /json$|json;/.test(response.headers['content-type'] ?? '');
        resolve({ status: response.statusCode ?? 0, body: isJson ? JSON.parse(text) : text });
      });
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
