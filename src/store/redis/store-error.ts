// How failures of the store read to a user: from what the Redis client throws to the catalogue.
import { ServiceError } from '../../core/service-error.ts';

/** Refusals that came before anything was done, and that pass: the store is loading, failing over, being rearranged, or was emptied. */
const refusals =
  /^-?(LOADING|READONLY|UNOPENED|MISCONF|MASTERDOWN|CLUSTERDOWN|NOREPLICAS|BUSY|TRYAGAIN|MOVED|ASK|UNBLOCKED)\b|non local key/;

/** Turns what the Redis client throws into the catalogue; what is no fault of the store stays as it is. */
export function storeError(error: unknown, writes: boolean): unknown {
  if (!(error instanceof Error) || error instanceof ServiceError) return error;
  const message = error.message;
  if (/^-?OOM\b/.test(message)) {
    return new ServiceError(
      'STORE_FULL',
      'The store is at its memory limit; nothing was written. Delete what is not needed, or raise the limit.',
      {},
      { cause: error },
    );
  }
  const refusal = refusals.exec(message);
  if (refusal) {
    const why = refusal[1] ?? 'ASK';
    return new ServiceError(
      'STORE_UNAVAILABLE',
      `The store refuses to serve now (${why}); nothing was done. Try again soon.`,
      {},
      { cause: error },
    );
  }
  // The client attaches the whole command, and a log line would show what it carried: handles, hashes, data (guarantee E4).
  if (error.name === 'ReplyError') return Object.assign(error, { command: undefined });
  const neverSent = /isn't writeable|ECONNREFUSED|ENOENT/.test(message);
  const fate =
    writes && !neverSent
      ? 'Whether the change was made is unknown: retry with the same Idempotency-Key, or read it.'
      : 'Nothing was done.';
  return new ServiceError('STORE_UNAVAILABLE', `The store did not answer. ${fate}`, {}, { cause: error });
}

/** The store cannot be reached, and was not. */
export function notReached(): ServiceError {
  return new ServiceError('STORE_UNAVAILABLE', 'The store cannot be reached; nothing was done. Try again soon.');
}

const certificateFault = /^(ERR_TLS_CERT_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(VERIFY|GET_ISSUER))/;

/** What keeps this server from its store by being configured wrongly, so that no waiting helps; undefined for all else. */
export function configurationFault(error: Error & { code?: unknown }): ServiceError | undefined {
  const refused = /\b(WRONGPASS|NOAUTH|NOPERM)\b/.exec(error.message);
  if (refused) {
    const who = 'The store refuses this server: its user or password is wrong, or the user may not do enough';
    return new ServiceError('INVALID_CONFIG', `${who} (${refused[0]}).`);
  }
  if (/^ERR DB index is out of range/.test(error.message)) {
    return new ServiceError('INVALID_CONFIG', 'The store has no database of the number in its URL.');
  }
  if (error.code === 'EPROTO' || String(error.code).startsWith('ERR_SSL_')) {
    return new ServiceError('INVALID_CONFIG', `The store does not speak TLS as its URL says: ${error.message.trim()}.`);
  }
  if (typeof error.code === 'string' && certificateFault.test(error.code)) {
    return new ServiceError('INVALID_CONFIG', `The certificate of the store is not trusted: ${error.message}.`);
  }
  return undefined;
}
