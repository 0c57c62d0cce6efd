// Servers with TLS for tests, and requests to them that trust the test's authority, with or without a client certificate.
import { request } from 'node:https';
import type { ConnectionOptions } from 'node:tls';
import type { Test } from 'tap';
import type { Limits } from '../../src/app.ts';
import type { Config } from '../../src/config/config.ts';
import type { StoreTarget } from '../../src/store/redis/target.ts';
import { temporaryFolder } from '../../testbed/scope.ts';
import { TestAuthority, writeIdentity } from '../../testbed/test-certificates.ts';
import { startTestServer, type TestServer } from './server.ts';

export interface TlsFilesOfTest {
  folder: string;
  /** The authority of the server's certificate, and its certificate as a file. */
  authority: TestAuthority;
  caFile: string;
  config: { tlsCert: string; tlsKey: string };
}

/** Makes an authority and a certificate for a server, as files that are removed after the test. */
export async function makeTlsFiles(t: Test): Promise<TlsFilesOfTest> {
  const folder = temporaryFolder(t);
  const authority = await TestAuthority.create();
  const { cert, key } = writeIdentity(folder, 'server', await authority.issue());
  const caFile = writeIdentity(folder, 'ca', { cert: authority.cert, key: '' }).cert;
  return { folder, authority, caFile, config: { tlsCert: cert, tlsKey: key } };
}

export interface TlsResponse {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  /** The body as JSON where it is JSON, else as text. */
  body: any;
}

export interface TlsServer extends TestServer {
  files: TlsFilesOfTest;
  /** Sends one request on a connection of its own, unless an agent is given. */
  ask(method: string, path: string, options?: AskOptions): Promise<TlsResponse>;
}

export interface AskOptions {
  body?: string | undefined;
  headers?: Record<string, string>;
  tls?: ConnectionOptions & { agent?: unknown };
}

export async function startTlsServer(
  t: Test,
  files: TlsFilesOfTest,
  overrides: Partial<Config> = {},
  { target, limits }: { target?: StoreTarget; limits?: Partial<Limits> } = {},
): Promise<TlsServer> {
  const server = await startTestServer(t, { ...files.config, ...overrides }, target, limits);
  return { ...server, files, ask: askAt(server.url, files.authority) };
}

/** A function that sends requests to `url` by TLS. Rejects if there is no response. */
export function askAt(url: string, authority: TestAuthority): TlsServer['ask'] {
  return (method, path, { body, headers = {}, tls = {} } = {}) =>
    new Promise((resolve, reject) => {
      const sent = request(
        `${url}${path}`,
        { method, headers, agent: false, ca: authority.cert, ...(tls as object) },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (piece: string) => {
            text += piece;
          });
          response.on('error', reject);
          response.on('end', () => {
            const isJson = /json$|json;/.test(response.headers['content-type'] ?? '') && text !== '';
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: isJson ? JSON.parse(text) : text,
            });
          });
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
}
