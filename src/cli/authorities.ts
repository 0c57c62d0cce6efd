// Certificate authorities of one's own. The `fetch` and the WebSocket of Node.js take none, so every TLS connection of this process gets
// them.
import { X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import { CliError } from './errors.ts';

/** From now on only certificates of these authorities are trusted. @throws CliError if the text has no certificate */
export async function trustAuthorities(pem: string): Promise<void> {
  try {
    new X509Certificate(pem);
  } catch (error) {
    throw new CliError(`The file of WEIR_CACERT has no certificate in PEM form: ${(error as Error).message}`);
  }
  const { createSecureContext } = tls;
  Object.assign(tls, {
    createSecureContext: (options: tls.SecureContextOptions = {}) => createSecureContext({ ca: pem, ...options }),
  });
}
