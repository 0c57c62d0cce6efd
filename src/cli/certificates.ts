// Certificates of one's own. The `fetch` and the WebSocket of Node.js take none, so every TLS connection of this process gets them.
import { X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import { usageError } from './errors.ts';
import type { Target } from './target.ts';

/**
 * From now on only certificates of the target's authorities are trusted, if it has some, and servers are shown its certificate.
 * @throws CliError if the texts are no certificates, or certificate and key do not belong together
 */
export function useCertificates({ cacert, cert, key }: Pick<Target, 'cacert' | 'cert' | 'key'>): void {
  if (cacert) {
    try {
      new X509Certificate(cacert.text);
    } catch (error) {
      throw usageError(`${cacert.path} (WEIR_CACERT) has no certificate in PEM form: ${(error as Error).message}.`);
    }
  }
  if ((cert === undefined) !== (key === undefined)) {
    const [given, missing] = cert ? ['WEIR_CERT', 'WEIR_KEY'] : ['WEIR_KEY', 'WEIR_CERT'];
    throw usageError(`${given} is given without ${missing}: a certificate and its key are used together.`);
  }
  const own = { ...(cert && { cert: cert.text }), ...(key && { key: key.text }) };
  const { createSecureContext } = tls;
  try {
    createSecureContext(own);
  } catch (error) {
    throw usageError(
      `${cert?.path} (WEIR_CERT) and ${key?.path} (WEIR_KEY) are no certificate and its key in PEM form: ${(error as Error).message}.`,
    );
  }
  const settings = { ...own, ...(cacert && { ca: cacert.text }) };
  Object.assign(tls, {
    createSecureContext: (options: tls.SecureContextOptions = {}) => createSecureContext({ ...settings, ...options }),
  });
}
