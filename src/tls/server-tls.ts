// The TLS identity of the server: takes changed files without a restart, and without closing a connection. Files that do not make an
// identity change nothing: the log says why, and the one in use stays.
import { constants, type X509Certificate } from 'node:crypto';
import type { Server } from 'node:https';
import type { SecureContextOptions, TlsOptions } from 'node:tls';
import type { Logger } from 'pino';
import { isIssuedByOne } from './certificate-chain.ts';
import { checkTlsFiles, readTlsFiles, type TlsFiles, type TlsIdentity } from './identity-files.ts';
import { TicketKeys } from './ticket-keys.ts';

/** How often the files are read again. A watch of files would miss mounted secrets, which are replaced by links. */
const checkEveryMs = 1000;
/** How often the log repeats that the certificate ends soon. */
const warnEveryMs = 24 * 3_600_000;
/** A certificate ends soon if it has less than this, or less than this part of its whole time: some last only hours. */
const soonMs = 14 * 24 * 3_600_000;
const soonShare = 0.2;

export class ServerTls {
  readonly #files: TlsFiles;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #tickets: TicketKeys;
  #identity: TlsIdentity;
  #server: Server | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** The contents in use, and changed ones that were seen once: a file may be half written, or its pair not yet replaced. */
  #hash: string;
  #candidate: string | undefined;
  /** The state in which the files were not taken; undefined if they were. */
  #failedState: string | undefined;
  #errors = 0;
  #loadedAt: number;
  #warnedAt = Number.NEGATIVE_INFINITY;
  #authoritiesVersion = 0;
  readonly #listeners = new Set<() => void>();

  private constructor(
    files: TlsFiles,
    identity: TlsIdentity,
    hash: string,
    log: Logger,
    now: () => number,
    tickets: TicketKeys,
  ) {
    this.#files = files;
    this.#identity = identity;
    this.#hash = hash;
    this.#log = log;
    this.#now = now;
    this.#tickets = tickets;
    this.#loadedAt = now();
  }

  /**
   * @param now the time, ms since 1970
   * @param tickets the keys that all workers of the server share
   * @throws TlsError if the files cannot be used
   */
  static async load(
    files: TlsFiles,
    log: Logger,
    now: () => number = Date.now,
    tickets = new TicketKeys(),
  ): Promise<ServerTls> {
    const texts = await readTlsFiles(files);
    const tls = new ServerTls(files, checkTlsFiles(texts, files), texts.hash, log, now, tickets);
    log.info(tls.#described(), 'TLS is on');
    tls.#warnOfExpiry();
    tls.#timer = setInterval(() => {
      void tls.#check();
      tls.#warnOfExpiry();
      if (tickets.advance()) tls.#server?.setTicketKeys(tls.#ticketKeys());
    }, checkEveryMs).unref();
    return tls;
  }

  /** How to make the server. */
  get options(): TlsOptions {
    return {
      ...this.#contextOptions(),
      requestCert: this.asksForCertificates,
      // A client with a certificate that is not valid is told why in a response; a failed handshake would say little.
      rejectUnauthorized: false,
    };
  }

  /** Whether clients may show a certificate. */
  get asksForCertificates(): boolean {
    return this.#files.clientCa !== undefined;
  }

  get certificate(): X509Certificate {
    return this.#identity.certificate;
  }

  /** When the certificate ends, ms since 1970. */
  get expiresAt(): number {
    return this.#identity.expiresAt;
  }

  /** When the files in use were read, ms since 1970. */
  get loadedAt(): number {
    return this.#loadedAt;
  }

  /** How often changed files could not be taken. */
  get errors(): number {
    return this.#errors;
  }

  /** Changes with the authorities of client certificates. */
  get authoritiesVersion(): number {
    return this.#authoritiesVersion;
  }

  /** Calls `listener` whenever the authorities of client certificates have changed. */
  onAuthoritiesChanged(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Whether a client certificate that earlier authorities have signed would be taken by those in use. */
  isTrusted(certificate: X509Certificate): boolean {
    return isIssuedByOne(this.#identity.authorities, certificate);
  }

  /** Gives each later identity to this server. */
  serve(server: Server): void {
    this.#server = server;
  }

  /** Reads the files at once; if they cannot be used, the identity in use stays, and the log says why. */
  reload(): Promise<void> {
    return this.#check(true);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #check(isAtOnce = false): Promise<void> {
    const read = await readTlsFiles(this.#files).catch((error: Error) => error);
    const state = read instanceof Error ? read.message : read.hash;
    const isSettled = state === this.#candidate;
    this.#candidate = state;
    if (state === this.#hash) this.#failedState = undefined;
    // They are read every second: the same failure is told once, but again to an operator who asks.
    if (state === this.#hash || (!isAtOnce && (!isSettled || state === this.#failedState))) return;
    try {
      if (read instanceof Error) throw read;
      const identity = checkTlsFiles(read, this.#files);
      this.#refuseOlder(identity);
      this.#take(identity, read.hash);
    } catch (error) {
      this.#failedState = state;
      this.#errors += 1;
      this.#log.error({ err: error }, 'The changed TLS files are not used; the certificate before them stays in use');
    }
  }

  /** An expired certificate in the place of one that is valid is a mistake, such as an old backup. */
  #refuseOlder({ expiresAt }: TlsIdentity): void {
    if (expiresAt > this.#now() || expiresAt >= this.expiresAt) return;
    throw new Error(`The certificate in ${this.#files.cert} has expired on ${new Date(expiresAt).toISOString()}.`);
  }

  #take(identity: TlsIdentity, hash: string): void {
    const isOtherCa = identity.ca !== this.#identity.ca;
    this.#identity = identity;
    this.#hash = hash;
    this.#failedState = undefined;
    this.#loadedAt = this.#now();
    if (isOtherCa) this.#authoritiesVersion += 1;
    this.#server?.setSecureContext(this.#contextOptions());
    // Those of other authorities: no session from before is resumed.
    this.#server?.setTicketKeys(this.#ticketKeys());
    if (isOtherCa) for (const listener of this.#listeners) listener();
    this.#log.info(this.#described(), 'The TLS files have changed; new connections use them');
    this.#warnedAt = Number.NEGATIVE_INFINITY;
    this.#warnOfExpiry();
  }

  #ticketKeys(): Buffer {
    return this.#tickets.keysFor(this.#identity.ca ?? '');
  }

  #contextOptions(): SecureContextOptions {
    const { cert, key, ca } = this.#identity;
    return {
      cert,
      key,
      ticketKeys: this.#ticketKeys(),
      minVersion: 'TLSv1.2',
      // Each renegotiation costs the server as much as a connection; TLS 1.3 has none.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      ...(ca !== undefined && { ca }),
    };
  }

  #described(): Record<string, unknown> {
    const { certificate, expiresAt, authorities } = this.#identity;
    return {
      file: this.#files.cert,
      subject: oneLine(certificate.subject),
      issuer: oneLine(certificate.issuer),
      names: certificate.subjectAltName,
      expires: new Date(expiresAt).toISOString(),
      ...(this.asksForCertificates && { clientAuthorities: authorities.map(({ subject }) => oneLine(subject)) }),
    };
  }

  #warnOfExpiry(): void {
    const now = this.#now();
    const { validFrom, expiresAt } = this.#identity;
    const leftMs = expiresAt - now;
    if (leftMs > Math.min(soonMs, (expiresAt - validFrom) * soonShare) || now - this.#warnedAt < warnEveryMs) return;
    this.#warnedAt = now;
    const facts = this.#described();
    if (leftMs <= 0) this.#log.error(facts, 'The TLS certificate has expired: clients refuse it. Replace its file');
    else this.#log.warn(facts, 'The TLS certificate expires soon. Replace its file; the server needs no restart');
  }
}

/** The subject of a certificate has one attribute a line. */
function oneLine(name: string | undefined): string {
  return (name ?? '').split('\n').join(', ');
}
