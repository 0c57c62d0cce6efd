// GET /v1/nodes/{path}?view=export: a subtree with its data as lines of JSON, for backups and for copies to another cluster.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ExportEnd } from '../../schemas/transfer.ts';
import type { Broker } from '../broker/broker.ts';
import { toJsonData } from '../core/json-data.ts';
import { jsonLine } from '../core/json-line.ts';
import { ServiceError } from '../core/service-error.ts';
import { SharedLimit } from '../core/shared-limit.ts';
import type { ReadNode, SubtreePart, SubtreePlace } from '../store/tree/subtree-reader.ts';
import { sendLines } from './line-response.ts';
import { ndjsonType } from './media-types.ts';
import type { Refuse } from './refusals.ts';

/** Exports at the same time, of which each holds some MiB while its client reads. */
export const exportsMax = 16;
/** The work of one part: 500 nodes, or 1 MiB (request-weight.ts). */
const partWeight = 30;

export interface ExportOptions {
  broker: Pick<Broker, 'metrics' | 'stopping' | 'store'>;
  addressShare: number;
  /** A client that reads nothing for so long is disconnected, ms. */
  idleMs: number;
  refuse: Refuse;
}

/** @returns the handler of requests for an export of the node at `path` */
export function exportHandler({ broker, addressShare, idleMs, refuse }: ExportOptions) {
  const { metrics, stopping, store } = broker;
  const limit = new SharedLimit(exportsMax, addressShare);
  metrics.gauge('node_exports_in_flight', 'Exports of nodes in flight.', () => limit.used);

  return async (request: FastifyRequest, reply: FastifyReply, path: string): Promise<string> => {
    const { clientKey } = request;
    refuseOthers(request.query as object);
    const reason = limit.acquire(clientKey);
    if (reason) throw refuse('exports', reason, clientKey, limit);
    reply.raw.once('close', () => limit.release(clientKey));
    // Each part takes a permit of its own.
    request.permit?.release();
    const read = async (from: SubtreePlace | undefined) => {
      await request.recheckAccess();
      const part = await request.withPermit(partWeight, () => store.subtrees.read(path, from));
      await request.waitForRates(part.nodes.reduce((sum, { data }) => sum + data.length, 0));
      return part;
    };
    const first = await read(undefined);
    reply.header('weir-zxid', first.zxid);
    if (request.method === 'HEAD') return reply.type(ndjsonType).send('') as unknown as string;
    const mayRead = (node: string) => request.may('read', 'nodes', node);
    const isStopped = () => stopping.aborted || reply.raw.destroyed;
    return sendLines(request, reply, exportLines(first, { read, mayRead, isStopped }), idleMs);
  };
}

/** The other parameters of a GET have no meaning here. @throws ServiceError BAD_REQUEST */
function refuseOthers(query: object): void {
  for (const [name, value] of Object.entries(query)) {
    if (name === 'view' || value === undefined) continue;
    throw new ServiceError('BAD_REQUEST', `${name} does not go with view=export, which is of the whole subtree.`);
  }
}

interface Walk {
  read(from: SubtreePlace): Promise<SubtreePart>;
  mayRead(path: string): boolean;
  isStopped(): boolean;
}

/** The lines of an export, those of one part together. @param first the first part */
async function* exportLines(first: SubtreePart, { read, mayRead, isStopped }: Walk): AsyncGenerator<string> {
  const { zxid } = first;
  const end: ExportEnd = { end: true, nodes: 0, ephemerals: 0, unreadable: 0, reserved: 0, zxid, lastZxid: zxid };
  let part = first;
  for (;;) {
    let lines = '';
    /** The subtree that is passed over, as the caller may not read it. */
    let hidden: string | undefined;
    for (const node of part.nodes) {
      if (hidden !== undefined && node.path.startsWith(`${hidden}/`)) continue;
      hidden = mayRead(node.path) ? undefined : node.path;
      if (hidden !== undefined) {
        end.unreadable += 1;
      } else if (node.mode === 'ephemeral') {
        end.ephemerals += 1;
      } else {
        end.nodes += 1;
        lines += lineOf(node);
      }
    }
    end.reserved += part.reserved;
    end.lastZxid = part.zxid;
    if (lines !== '') yield lines;
    const last = part.nodes.at(-1);
    if (!part.hasMore || !last) break;
    if (isStopped()) throw new ServiceError('STORE_UNAVAILABLE', 'The broker stops. Begin the export again.');
    part = await read(
      hidden === undefined ? { after: last.path, passesOver: false } : { after: hidden, passesOver: true },
    );
  }
  yield jsonLine(end);
}

function lineOf({ path, data, contentType, mode, ttlMs }: ReadNode): string {
  return jsonLine({ path, ...shortestData(data), contentType, mode, ...(ttlMs !== undefined && { ttlMs }) });
}

/** Text that is mostly control characters, of which each has six bytes in JSON, is longer than as base64: a line has a limit when it is imported. */
function shortestData(data: Buffer) {
  const asJson = toJsonData(data);
  if (asJson.encoding === 'base64') return asJson;
  const escapes = JSON.stringify(asJson.data).length - asJson.data.length;
  return escapes <= data.length / 3 + 2 ? asJson : { data: data.toString('base64'), encoding: 'base64' as const };
}
