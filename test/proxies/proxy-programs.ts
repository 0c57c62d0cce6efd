// The proxies of Debian that docs/operations.md describes, and how each is run with its configuration from examples/proxies: on
// a port of the loopback, in the foreground, with all that it writes in a temporary folder.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Replaces a text that occurs exactly once in the configuration. */
export type Edit = [text: string, by: string];

export interface ProxyProgram {
  /** As the documentation calls it. */
  name: string;
  command: string;
  debianPackage: string;
  /** Below examples/proxies. */
  configuration: string;
  /** Changes the configuration to listen on this port of the loopback only. */
  listens(port: number): Edit[];
  /** The text by which the configuration names the broker. */
  broker(port: number): Edit[];
  compresses: Edit;
  /** Writes further files that the proxy needs beside its configuration `file`. @returns the arguments of the command */
  prepare(place: { folder: string; file: string; port: number }): string[];
  /** Whether it forwards a line of a body before the next one arrives. */
  passesLinesOn: boolean;
  /** Whether it forwards a response before the request body has ended. */
  respondsWhileSending: boolean;
  /** Whether it forwards the rest of a large chunked body after the response has begun. */
  passesBothWaysAtOnce: boolean;
  /** Whether it replaces the client's X-Forwarded-For, instead of adding to it. */
  dropsForwardedFor?: boolean;
}

const isRoot = process.getuid?.() === 0;

function write(folder: string, name: string, lines: string[]): string {
  const file = join(folder, name);
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

export const nginx: ProxyProgram = {
  name: 'nginx',
  command: 'nginx',
  debianPackage: 'nginx',
  configuration: 'nginx.conf',
  listens: (port) => [['listen 8080;', `listen 127.0.0.1:${port};`]],
  broker: (port) => [['127.0.0.1:7070', `127.0.0.1:${port}`]],
  compresses: ['gzip off;', 'gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;'],
  // Debian's nginx.conf includes the files of conf.d like this.
  prepare: ({ folder, file }) => {
    const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    const main = write(folder, 'main.conf', [
      ...(isRoot ? ['user root;'] : []),
      `pid ${folder}/pid;`,
      'error_log stderr warn;',
      'daemon off;',
      'worker_processes 1;',
      'events { worker_connections 512; }',
      'http {',
      ...kinds.map((kind) => `  ${kind}_temp_path ${folder}/${kind};`),
      '  access_log off;',
      `  include ${file};`,
      '}',
    ]);
    return ['-p', folder, '-c', main, '-e', 'stderr'];
  },
  passesLinesOn: true,
  respondsWhileSending: true,
  passesBothWaysAtOnce: false,
};

export const haproxy: ProxyProgram = {
  name: 'HAProxy',
  command: 'haproxy',
  debianPackage: 'haproxy',
  configuration: 'haproxy.cfg',
  listens: (port) => [['bind :8080', `bind 127.0.0.1:${port}`]],
  broker: (port) => [['127.0.0.1:7070', `127.0.0.1:${port}`]],
  compresses: [
    'balance roundrobin',
    'balance roundrobin\n  compression algo gzip\n  compression type text/plain application/json text/event-stream',
  ],
  prepare: ({ file }) => ['-f', file, '-db'],
  passesLinesOn: true,
  respondsWhileSending: true,
  passesBothWaysAtOnce: true,
};

export const apache: ProxyProgram = {
  name: 'Apache',
  command: 'apache2',
  debianPackage: 'apache2',
  configuration: 'apache.conf',
  listens: (port) => [
    ['Listen 8080', `Listen 127.0.0.1:${port}`],
    ['*:8080', `127.0.0.1:${port}`],
  ],
  broker: (port) => [['127.0.0.1:7070', `127.0.0.1:${port}`]],
  compresses: ['SetEnv no-gzip 1', 'SetOutputFilter DEFLATE'],
  prepare: ({ folder, file }) => {
    const modules = 'mpm_event authz_core env filter deflate reqtimeout setenvif proxy proxy_http'.split(' ');
    const main = write(folder, 'main.conf', [
      `ServerRoot ${folder}`,
      'ServerName localhost',
      `DefaultRuntimeDir ${folder}`,
      `PidFile ${folder}/pid`,
      `ErrorLog ${folder}/error.log`,
      ...(isRoot ? ['User www-data', 'Group www-data'] : []),
      ...modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`),
      `Include ${file}`,
    ]);
    return ['-f', main, '-DFOREGROUND'];
  },
  // It buffers some KiB of a body that arrives slowly.
  passesLinesOn: false,
  respondsWhileSending: false,
  passesBothWaysAtOnce: true,
};

export const caddy: ProxyProgram = {
  name: 'Caddy',
  command: 'caddy',
  debianPackage: 'caddy',
  configuration: 'caddy.conf',
  listens: (port) => [[':8080 {', `{\n\tadmin off\n}\n:${port} {\n\tbind 127.0.0.1`]],
  broker: (port) => [['127.0.0.1:7070', `127.0.0.1:${port}`]],
  // Not event streams: it holds back what it compresses.
  compresses: [
    'bind 127.0.0.1',
    'bind 127.0.0.1\n\tencode {\n\t\tgzip\n\t\tminimum_length 1\n\t\tmatch {\n\t\t\theader Content-Type text/plain*\n\t\t\theader Content-Type application/json*\n\t\t}\n\t}',
  ],
  dropsForwardedFor: true,
  prepare: ({ file }) => ['run', '--config', file, '--adapter', 'caddyfile'],
  passesLinesOn: true,
  respondsWhileSending: true,
  passesBothWaysAtOnce: true,
};

export const varnish: ProxyProgram = {
  name: 'Varnish',
  command: 'varnishd',
  debianPackage: 'varnish',
  configuration: 'varnish.vcl',
  listens: () => [],
  broker: (port) => [['.port = "7070"', `.port = "${port}"`]],
  // Not event streams: it holds back what it compresses.
  compresses: [
    'sub vcl_pipe {',
    'sub vcl_backend_response {\n    set beresp.do_gzip = beresp.http.Content-Type ~ "^(text/plain|application/json)";\n}\n\nsub vcl_pipe {',
  ],
  prepare: ({ folder, file, port }) => [
    ...['-F', '-j', 'none', '-n', join(folder, 'varnish'), '-f', file, '-a', `127.0.0.1:${port}`],
    ...['-s', 'malloc,64m', '-p', 'timeout_idle=330'],
  ],
  passesLinesOn: true,
  respondsWhileSending: false,
  passesBothWaysAtOnce: true,
};
