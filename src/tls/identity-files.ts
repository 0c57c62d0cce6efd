// Reads the files of WEIR_TLS_CERT, WEIR_TLS_KEY and WEIR_TLS_CLIENT_CA, and checks that together they can serve.
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';

/** Paths of files in PEM format. */
export interface TlsFiles {
  cert: string;
  key: string;
  /** The authorities of client certificates; absent: clients are asked for none. */
  clientCa?: string | undefined;
}

/** The files cannot be used. The message names the option, the file and what is wrong; never what is in a file. */
class TlsError extends Error {
  override readonly name = 'TlsError';
}

/** The contents of the files, before they are checked. */
interface TlsTexts {
  cert: string;
  key: string;
  clientCa: string | undefined;
  /** A hash of all of it, by which a change is noticed. */
  hash: string;
}

/** The certificate of the server with its key, and the authorities that may sign the certificates of clients. */
export interface TlsIdentity {
  cert: string;
  key: string;
  ca: string | undefined;
  certificate: X509Certificate;
  /** Ms since 1970. */
  validFrom: number;
  expiresAt: number;
  authorities: readonly X509Certificate[];
}

const certificatePattern = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** @throws TlsError if a file cannot be read */
export async function readTlsFiles({ cert, key, clientCa }: TlsFiles): Promise<TlsTexts> {
  const texts = {
    cert: await readPem('WEIR_TLS_CERT', cert),
    key: await readPem('WEIR_TLS_KEY', key),
    clientCa: clientCa === undefined ? undefined : await readPem('WEIR_TLS_CLIENT_CA', clientCa),
  };
  return { ...texts, hash: createHash('sha256').update(JSON.stringify(texts)).digest('base64') };
}

/** @throws TlsError that says which of the files is wrong */
export function checkTlsFiles(texts: TlsTexts, files: TlsFiles): TlsIdentity {
  const [certificate] = certificatesIn('WEIR_TLS_CERT', files.cert, texts.cert);
  const authorities =
    texts.clientCa === undefined ? [] : certificatesIn('WEIR_TLS_CLIENT_CA', files.clientCa ?? '', texts.clientCa);
  if (!certificate) throw new TlsError(`WEIR_TLS_CERT is ${files.cert}, which has no certificate.`);
  checkKey(certificate, texts.key, files);
  try {
    createSecureContext({
      cert: texts.cert,
      key: texts.key,
      ...(texts.clientCa !== undefined && { ca: texts.clientCa }),
    });
  } catch (error) {
    throw new TlsError(`${files.cert} and ${files.key} do not make a TLS identity: ${textOf(error)}.`);
  }
  return {
    cert: texts.cert,
    key: texts.key,
    ca: texts.clientCa,
    certificate,
    validFrom: Date.parse(certificate.validFrom),
    expiresAt: Date.parse(certificate.validTo),
    authorities,
  };
}

function checkKey(certificate: X509Certificate, key: string, files: TlsFiles): void {
  const what = `WEIR_TLS_KEY is ${files.key}, which`;
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(key)) {
    throw new TlsError(
      `${what} is encrypted with a passphrase. Decrypt it (openssl pkey -in … -out …), and let only the user of the server read it.`,
    );
  }
  let matches: boolean;
  try {
    matches = certificate.checkPrivateKey(createPrivateKey(key));
  } catch (error) {
    throw new TlsError(`${what} has no private key that can be used: ${textOf(error)}.`);
  }
  if (!matches) throw new TlsError(`${what} is not the key of the certificate in ${files.cert}.`);
}

/** The certificates in a file, in its order. @throws TlsError if there is none, or one that cannot be read */
function certificatesIn(variable: string, file: string, pem: string): X509Certificate[] {
  const found = pem.match(certificatePattern) ?? [];
  if (found.length === 0) throw new TlsError(`${variable} is ${file}, which has no certificate in PEM format.`);
  return found.map((text, i) => {
    try {
      return new X509Certificate(text);
    } catch (error) {
      throw new TlsError(`Certificate ${i + 1} in ${file} (${variable}) cannot be read: ${textOf(error)}.`);
    }
  });
}

async function readPem(variable: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new TlsError(`${variable} is ${file}, which cannot be read: ${textOf(error)}.`);
  }
}

function textOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim();
}
