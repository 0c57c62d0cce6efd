// Certificates for tests of TLS between clients and the server: authorities, servers and clients, valid or not, made within the process.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 24 * 3_600_000;

export interface Issued {
  /** PEM. */
  cert: string;
  key: string;
}

export interface CertificateOptions {
  /** As `CN=weir.test,O=Example`. */
  subject?: string;
  names?: x509.JsonGeneralName[];
  /** Ms since 1970. */
  validFrom?: number;
  validTo?: number;
  /** What it may be used for. Default: `server` and `client`. */
  uses?: ('server' | 'client')[];
  /** It may itself sign. */
  isAuthority?: boolean;
}

const serverNames: x509.JsonGeneralName[] = [
  { type: 'dns', value: 'localhost' },
  { type: 'dns', value: 'weir.test' },
  { type: 'ip', value: '127.0.0.1' },
];

/** Signs certificates; its own is `cert`. */
export class TestAuthority {
  readonly #certificate: x509.X509Certificate;
  readonly #keys: webcrypto.CryptoKeyPair;

  private constructor(certificate: x509.X509Certificate, keys: webcrypto.CryptoKeyPair) {
    this.#certificate = certificate;
    this.#keys = keys;
  }

  static async create(name = 'CN=Test Authority'): Promise<TestAuthority> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name,
      keys,
      serialNumber: newSerial(),
      ...validity({}),
      signingAlgorithm: algorithm,
      extensions: extensionsOf({ isAuthority: true }),
    });
    return new TestAuthority(certificate, keys);
  }

  /** PEM. */
  get cert(): string {
    return this.#certificate.toString('pem');
  }

  async issue(options: CertificateOptions = {}): Promise<Issued> {
    const keys = await newKeys();
    const certificate = await this.#sign(keys, options);
    const der = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
    return { cert: certificate.toString('pem'), key: x509.PemConverter.encode(der, 'PRIVATE KEY') };
  }

  /** An authority that this one has signed. */
  async issueAuthority(subject: string): Promise<TestAuthority> {
    const keys = await newKeys();
    return new TestAuthority(await this.#sign(keys, { subject, isAuthority: true }), keys);
  }

  #sign(keys: webcrypto.CryptoKeyPair, options: CertificateOptions): Promise<x509.X509Certificate> {
    return x509.X509CertificateGenerator.create({
      subject: options.subject ?? 'CN=weir.test',
      issuer: this.#certificate.subject,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      serialNumber: newSerial(),
      ...validity(options),
      signingAlgorithm: algorithm,
      extensions: extensionsOf({ names: serverNames, ...options }),
    });
  }
}

/** Writes the certificate and the key as files `<name>.pem` and `<name>.key`. */
export function writeIdentity(folder: string, name: string, { cert, key }: Issued): { cert: string; key: string } {
  const files = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key, { mode: 0o600 });
  return files;
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
}

function newSerial(): string {
  return `01${Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString('hex')}`;
}

function validity({ validFrom = Date.now() - 60_000, validTo = Date.now() + 30 * dayMs }: CertificateOptions) {
  return { notBefore: new Date(validFrom), notAfter: new Date(validTo) };
}

function extensionsOf({ names = [], uses = ['server', 'client'], isAuthority = false }: CertificateOptions) {
  if (isAuthority) {
    return [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ];
  }
  const purposes = uses.map((use) => x509.ExtendedKeyUsage[use === 'server' ? 'serverAuth' : 'clientAuth']);
  return [
    new x509.BasicConstraintsExtension(false),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension(purposes),
    ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
  ];
}
