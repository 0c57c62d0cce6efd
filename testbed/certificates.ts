// Set-up for tests of TLS and of access rights in Redis: certificates signed by a test authority, and the user of docs/operations.md.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export interface Certificates {
  /** The authority's certificate, as a file. */
  ca: string;
  /** Paths of the certificates of Redis and of its client, without `.pem` (certificate) or `.key` (private key). */
  server: string;
  client: string;
}

/** Creates a certificate authority and two certificates signed by it, as files. */
export function makeCertificates(folder: string): Certificates {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const newKey = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const sign = (name: string, subject: string) => {
    const names = ['-addext', `subjectAltName=DNS:${subject},IP:127.0.0.1`];
    openssl(...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${subject}`, ...names);
    const authority = [
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-copy_extensions',
      'copy',
      '-days',
      '2',
    ];
    openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, ...authority);
  };
  openssl(...newKey, '-x509', '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=authority');
  sign('server', 'redis.test');
  sign('client', 'weir.test');
  return { ca: join(folder, 'ca.pem'), server: join(folder, 'server'), client: join(folder, 'client') };
}

/** The access rules of the user in docs/operations.md, but for its password. */
export const userCommands =
  '+get +set +del +unlink +exists +pexpire +rename +scan +strlen +hget +hset +hsetnx +hdel +hmget +hgetall ' +
  '+hkeys +hlen +hexists +hstrlen +hincrby +zadd +zrem +zrange +zcard +zcount +zscore +zremrangebyscore ' +
  '+sadd +srem +scard +smembers +rpush +lpop +lindex +xadd +xlen +xrange +xrevrange +xread +xtrim +publish +subscribe ' +
  '+unsubscribe +eval +evalsha +auth +hello +select +ping +time +info +wait +cluster|slots +cluster|info ' +
  '+command|info';
export const userRules = `on >p@ss:word resetkeys ~{weir}:* ~{weir:* resetchannels &{weir}:appends &{weir}:removals -@all ${userCommands}`;
