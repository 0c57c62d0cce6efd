// The requests of the pipelined socket as requests over HTTP: for where no socket opens, and for what is too large for a frame.
import { WeirError } from './errors.ts';
import { type Http, type HttpRequest, nodeUrl, queryOf } from './http.ts';
import type { LinkRequest, LinkResult } from './link.ts';

/** Sends a request of the pipelined socket over HTTP; also what is too large for a frame goes this way. */
export async function sendByHttp<T>(
  http: Http,
  request: LinkRequest,
  session: string | undefined,
  signal?: AbortSignal,
): Promise<LinkResult<T>> {
  const mapped = httpRequestOf(request);
  const headers = { ...mapped.headers, ...(session !== undefined && { 'weir-session': session }) };
  let response: Response;
  try {
    response = await http.send({ ...mapped, headers, signal });
  } catch (error) {
    const isAbsent = request.op === 'exists' && error instanceof WeirError && error.code === 'NO_NODE';
    if (!isAbsent) throw error;
    return { ok: { path: request.path, exists: false } as T, zxid: Number(error.fields.zxid ?? 0) };
  }
  const text = await response.text();
  const body = text === '' ? { path: request.path } : JSON.parse(text);
  return {
    ok: (request.op === 'exists' ? { ...body, exists: true } : body) as T,
    zxid: Number(response.headers.get('weir-zxid') ?? 0),
  };
}

function httpRequestOf(request: LinkRequest): HttpRequest {
  const {
    op,
    path = '',
    data,
    dataBase64,
    contentType,
    version,
    mzxid,
    ...fields
  } = request as {
    op: LinkRequest['op'];
    path?: string;
    data?: string;
    dataBase64?: string;
    contentType?: string;
    version?: number;
    mzxid?: number;
    [field: string]: unknown;
  };
  const node = `/v1/nodes${nodeUrl(path)}`;
  const bytes =
    dataBase64 === undefined ? (data ?? '') : Uint8Array.from(atob(dataBase64), (char) => char.charCodeAt(0));
  const type = contentType ?? (dataBase64 === undefined ? 'text/plain' : 'application/octet-stream');
  const match = mzxid === undefined ? undefined : `"${mzxid}"`;
  const query = (names: string[]) =>
    queryOf(Object.fromEntries(names.map((name) => [name, fields[name] as string | undefined])));
  switch (op) {
    case 'create': {
      const { sequential } = fields;
      const headers = { 'content-type': type, 'if-none-match': sequential ? undefined : '*' };
      return {
        method: sequential ? 'POST' : 'PUT',
        path: node + query(['mode', 'ttl', 'parents']),
        headers,
        body: bytes,
      };
    }
    case 'set': {
      const headers = { 'content-type': type, 'if-match': match ?? (version === undefined ? '*' : undefined) };
      return { method: 'PUT', path: node + queryOf({ version }), headers, body: bytes };
    }
    case 'delete':
      return {
        method: 'DELETE',
        path: node + queryOf({ version, recursive: fields.recursive as boolean | undefined }),
        headers: { 'if-match': match },
      };
    case 'multi':
      return { method: 'POST', path: '/v1/multi', body: { ops: fields.ops } };
    case 'get':
      return { path: `${node}?view=node` };
    case 'exists':
      return { path: `${node}?view=stat` };
    case 'children':
      return {
        path: `${node}${queryOf({ view: 'children', limit: fields.limit as number | undefined, after: fields.after as string | undefined, stats: fields.stats as boolean | undefined })}`,
      };
    case 'produce': {
      const { topic, partition, records, producer, acks, offsets, fence, idempotencyKey } = fields;
      const log = `/v1/topics/${topic}${partition === undefined ? '' : `/partitions/${partition}`}/records`;
      const headers = {
        'weir-fence': fence as string | undefined,
        'idempotency-key': idempotencyKey as string | undefined,
      };
      return {
        method: 'POST',
        path: log + queryOf({ acks: acks as string | undefined, offsets: offsets as boolean | undefined }),
        headers,
        body: { records, producer },
        // The sequence of a named producer tells repeats apart.
        isRepeatable: producer !== undefined,
      };
    }
    case 'fetch':
      return {
        path: `/v1/topics/${fields.topic}/partitions/${fields.partition}/records${query(['offset', 'timestamp', 'maxRecords', 'maxBytes', 'minBytes', 'wait'])}`,
      };
    case 'offsets':
      return { path: `/v1/topics/${fields.topic}/offsets${query(['at'])}` };
  }
}
