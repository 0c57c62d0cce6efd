// TLS with certificates of one's own, on Node.js alone: its fetch and its WebSocket take no options for it, so requests go through
// node:https, and sockets through the package ws (package-socket.ts). Loaded only where the option `tls` is given.
import { misconfigured } from './errors.ts';

/** PEM as text or bytes, or the file that has it; files are read once, when the first connection is made. */
export type Pem = string | Uint8Array | { file: string };

export interface TlsOptions {
  /** The authorities that may sign the certificate of a server; default: those of Node.js. */
  ca?: Pem | readonly Pem[];
  /** The client's certificate and its key, for servers that ask for one. */
  cert?: Pem;
  key?: Pem;
  /** false: any certificate is taken, and whoever is between client and server can read and change everything. Default: true. */
  rejectUnauthorized?: boolean;
}

/** As much of Node.js as this file needs; what browsers have not is not imported, so that bundlers need not look for it. */
interface NodeProcess {
  getBuiltinModule(name: 'node:fs'): { readFileSync(path: string, encoding: 'utf8'): string };
  getBuiltinModule(name: 'node:tls'): { createSecureContext(options: object): object };
  getBuiltinModule(name: 'node:crypto'): { X509Certificate: new (pem: string | Uint8Array) => object };
  getBuiltinModule(name: 'node:stream'): { Readable: { toWeb(stream: object): ReadableStream<Uint8Array> } };
  getBuiltinModule(name: 'node:https'): {
    Agent: new (options: object) => object;
    request(url: URL, options: object, responded: (response: NodeResponse) => void): NodeRequest;
  };
}

interface NodeResponse {
  statusCode: number;
  rawHeaders: string[];
  resume(): void;
}

interface NodeRequest {
  on(event: 'error', listener: (error: Error) => void): void;
  end(body?: string | Uint8Array): void;
}

/** @throws TypeError where this is no Node.js, or too old a one */
function nodeProcess(): NodeProcess {
  const { process } = globalThis as { process?: Partial<NodeProcess> };
  if (process?.getBuiltinModule) return process as NodeProcess;
  throw new TypeError('The option tls needs Node.js 20.19 or newer; a browser has certificates of its own.');
}

type Part = 'ca' | 'cert' | 'key';

function contentOf(pem: Pem, part: Part): string | Uint8Array {
  if (typeof pem === 'string' || pem instanceof Uint8Array) return pem;
  try {
    return nodeProcess().getBuiltinModule('node:fs').readFileSync(pem.file, 'utf8');
  } catch (error) {
    throw misconfigured(`The file of tls.${part} cannot be read: ${(error as Error).message}.`, error);
  }
}

/** An authority. Node.js takes any text for one, and then trusts nobody. */
function authorityOf(pem: Pem): string | Uint8Array {
  const content = contentOf(pem, 'ca');
  const { X509Certificate } = nodeProcess().getBuiltinModule('node:crypto');
  try {
    new X509Certificate(content);
  } catch (error) {
    throw misconfigured(`tls.ca has no certificate in PEM form: ${(error as Error).message}.`, error);
  }
  return content;
}

/** What `node:tls` takes. @throws WeirError MISCONFIGURED if a file cannot be read, is none of certificates, or the key is another one's */
export function secureContext({ ca, cert, key, rejectUnauthorized }: TlsOptions): object {
  const own = {
    ...(cert !== undefined && { cert: contentOf(cert, 'cert') }),
    ...(key !== undefined && { key: contentOf(key, 'key') }),
  };
  try {
    nodeProcess().getBuiltinModule('node:tls').createSecureContext(own);
  } catch (error) {
    throw misconfigured(`tls.cert and tls.key are no pair in PEM form: ${(error as Error).message}.`, error);
  }
  return {
    ...own,
    ...(ca !== undefined && { ca: Array.isArray(ca) ? ca.map(authorityOf) : authorityOf(ca as Pem) }),
    ...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
  };
}

/** By the options of their clients: the connections that a client keeps are its own. */
const fetches = new WeakMap<TlsOptions, typeof fetch>();

/** A `fetch` that uses the certificates; for URLs of http it is the global one. It follows no redirects: the API has none. */
export function fetchOverTls(options: TlsOptions): typeof fetch {
  const made = fetches.get(options) ?? newFetch(options);
  fetches.set(options, made);
  return made;
}

function newFetch(options: TlsOptions): typeof fetch {
  const node = nodeProcess();
  const { Agent, request } = node.getBuiltinModule('node:https');
  const { Readable } = node.getBuiltinModule('node:stream');
  const agent = new Agent({ keepAlive: true, ...secureContext(options) });
  return (input, init = {}) => {
    const url = new URL(String(input));
    if (url.protocol !== 'https:') return fetch(input, init);
    const { method, headers, body, signal } = init as RequestInit & { body?: string | Uint8Array };
    return new Promise((resolve, reject) => {
      const sent = request(url, { agent, method, headers, signal }, (response) => {
        const { statusCode: status, rawHeaders } = response;
        const isEmpty = status === 204 || status === 304;
        if (isEmpty) response.resume();
        const pairs = rawHeaders.flatMap((name, at): [string, string][] =>
          at % 2 === 0 ? [[name, rawHeaders[at + 1] ?? '']] : [],
        );
        resolve(new Response(isEmpty ? null : Readable.toWeb(response), { status, headers: pairs }));
      });
      sent.on('error', reject);
      sent.end(body);
    });
  };
}
