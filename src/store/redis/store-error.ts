// Translates what the Redis client throws into errors of the catalogue.
import { ServiceError } from '../../core/service-error.ts';

/**
 * Error replies to commands that did nothing, for a passing reason: Redis loads, fails over, moves a slot, was emptied, or has lost
 * a script.
 */
const refusals =
  /^-?(LOADING|READONLY|UNOPENED|NOSCRIPT|MISCONF|MASTERDOWN|CLUSTERDOWN|NOREPLICAS|BUSY|TRYAGAIN|MOVED|ASK|UNBLOCKED)\b|non local key/;

/**
 * Translates an error of the Redis client.
 * @param writes whether the command can change anything: if it was sent and got no reply, its fate is unknown
 * @returns a ServiceError STORE_FULL or STORE_UNAVAILABLE; errors that are no fault of Redis unchanged
 */
export function storeError(error: unknown, writes: boolean): unknown {
  if (!(error instanceof Error) || error instanceof ServiceError) return error;
  const message = error.message;
  if (/^-?OOM\b/.test(message)) {
    return new ServiceError(
      'STORE_FULL',
      'Redis is at its memory limit; nothing was written. Delete data, or raise `maxmemory` of Redis.',
      {},
      { cause: error },
    );
  }
  const refusal = refusals.exec(message);
  if (refusal) {
    const code = refusal[1] ?? 'ASK';
    return new ServiceError(
      'STORE_UNAVAILABLE',
      `Redis refused the command (${code}); nothing was done. Try again soon.`,
      {},
      { cause: error },
    );
  }
  // ioredis attaches the whole command, and a log line would show secrets and data in it (guarantee E4).
  if (error.name === 'ReplyError') return Object.assign(error, { command: undefined });
  const neverSent = /isn't writeable|ECONNREFUSED|ENOENT/.test(message);
  const fate =
    writes && !neverSent
      ? 'Whether the change was made is unknown: retry with the same Idempotency-Key, or read it.'
      : 'Nothing was done; try again soon.';
  return new ServiceError('STORE_UNAVAILABLE', `The store did not reply. ${fate}`, {}, { cause: error });
}

/** The error for a command that was not sent, as no connection was open in time. */
export function unreachableError(): ServiceError {
  return new ServiceError('STORE_UNAVAILABLE', 'The store cannot be reached; nothing was done. Try again soon.');
}

const certificateFault = /^(ERR_TLS_CERT_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(VERIFY|GET_ISSUER))/;

/** Recognizes an error of a wrong configuration, which waiting cannot cure. @returns INVALID_CONFIG; undefined for all else */
export function configurationFault(error: Error & { code?: unknown }): ServiceError | undefined {
  const refused = /\b(WRONGPASS|NOAUTH|NOPERM)\b/.exec(error.message);
  if (refused) {
    return new ServiceError(
      'INVALID_CONFIG',
      `Redis refuses this server (${refused[0]}): the user or password in its URL is wrong, or the user lacks a permission.`,
    );
  }
  if (/^ERR DB index is out of range/.test(error.message)) {
    return new ServiceError('INVALID_CONFIG', 'Redis has no database of the number in its URL.');
  }
  if (error.code === 'EPROTO' || String(error.code).startsWith('ERR_SSL_')) {
    const detail = `The URL of Redis asks for TLS, but the server does not speak TLS: ${error.message.trim()}.`;
    return new ServiceError('INVALID_CONFIG', detail);
  }
  if (typeof error.code === 'string' && certificateFault.test(error.code)) {
    const detail = `The certificate of Redis is not trusted: ${error.message}. Check WEIR_REDIS_TLS_CA and the host name.`;
    return new ServiceError('INVALID_CONFIG', detail);
  }
  return undefined;
}
