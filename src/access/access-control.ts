// The access control of one server: holds the policy of the file, and takes a changed file without a restart. A file that is not valid
// changes nothing. Without a file everything is allowed.
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { ServiceError } from '../core/service-error.ts';
import { Accounts } from './accounts.ts';
import type { AuditLog, Origin } from './audit-log.ts';
import { Authenticator, type Caller, type Credentials } from './authenticator.ts';
import { DerivedTokens, type ParentCredential, type TokenSource } from './derived-tokens.ts';
import { Policy } from './policy.ts';
import { PolicyError } from './policy-file.ts';
import { missingText, openRights } from './rights.ts';
import { nounOf, type PublicThing, type Resource, type Verb } from './verbs.ts';

/** How often the file is read again. A watch of the file would miss mounted secrets, which are replaced by links. */
const checkEveryMs = 1000;
/** A changed file is used once it has stayed the same for so long. */
const settledMs = 100;

/** The caller where there is no policy. */
export const openCaller: Caller = {
  identity: undefined,
  tokenId: undefined,
  expiresAt: undefined,
  rights: openRights,
  isDerived: false,
};

export class AccessControl {
  /** What the identities with limits use at the moment. */
  readonly accounts: Accounts;
  /** Where decisions are told; undefined if nowhere. */
  readonly audit: AuditLog | undefined;
  readonly #file: string | undefined;
  readonly #log: Logger;
  readonly #listeners = new Set<() => void>();
  readonly #deniedListeners = new Set<(identity: string, verb: string) => void>();
  #policy: Policy | undefined;
  #authenticator: Authenticator | undefined;
  #derived: DerivedTokens | undefined;
  #text: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #errors = 0;
  /** The failure that was logged last, until the file can be read again. */
  #failure: string | undefined;
  #loadedAt = 0;
  #version = 0;

  private constructor(file: string | undefined, log: Logger, workers = 1, audit?: AuditLog) {
    this.accounts = new Accounts(workers);
    this.audit = audit;
    this.#file = file;
    this.#log = log;
  }

  /** Access control without a policy: everybody may do everything. */
  static open(log: Logger): AccessControl {
    return new AccessControl(undefined, log);
  }

  /**
   * @param workers how many processes share the limits of identities
   * @param audit where decisions are told
   * @throws PolicyError if the file cannot be read or is not valid
   */
  static async load(file: string, log: Logger, workers = 1, audit?: AuditLog): Promise<AccessControl> {
    const control = new AccessControl(file, log, workers, audit);
    await control.#read();
    control.#timer = setInterval(() => void control.reload(), checkEveryMs).unref();
    return control;
  }

  /** Whether there is a policy. */
  get isOn(): boolean {
    return this.#policy !== undefined;
  }

  get policy(): Policy | undefined {
    return this.#policy;
  }

  /** How often the file could not be taken since the start. */
  get errors(): number {
    return this.#errors;
  }

  /** When the policy in use was read, ms since 1970; 0 without a policy. */
  get loadedAt(): number {
    return this.#loadedAt;
  }

  /**
   * Uses the store for derived tokens and tickets. To be called before the first request.
   * @param share the part of all lookups that one client may have in flight while others have none
   */
  useStore(source: TokenSource, share: number): void {
    if (!this.#policy) return;
    this.#derived = new DerivedTokens(source, share);
    this.#authenticator = new Authenticator(this.#policy, this.#derived);
  }

  /** Derived tokens and tickets; undefined without a policy. */
  get derived(): DerivedTokens | undefined {
    return this.#derived;
  }

  /**
   * The credential of a caller, for what comes from it.
   * @throws ServiceError BAD_REQUEST without a policy; AUTH_REQUIRED if the credential has ended meanwhile
   */
  credentialOf({ identity, tokenId, expiresAt, isDerived }: Caller): ParentCredential {
    if (!this.#policy || identity === undefined) {
      throw new ServiceError('BAD_REQUEST', 'This server has no policy: requests need no tokens and no tickets.');
    }
    const basis = isDerived ? '' : this.#policy.basisOf(identity, tokenId);
    if (basis === undefined) throw new ServiceError('AUTH_REQUIRED', 'The credential of this request has just ended.');
    return { identity, token: tokenId, basis, expiresAt };
  }

  /** @returns a promise only if a JWT has to be verified, or a derived token looked up. @throws ServiceError AUTH_REQUIRED */
  callerOf(credentials: Credentials): Caller | Promise<Caller> {
    return this.#authenticator ? this.#authenticator.callerOf(credentials) : openCaller;
  }

  /** The caller of a header Authorization that was sent before, the most frequent case; undefined if it has to be looked at. */
  knownCaller(authorization: string): Caller | undefined {
    return this.#authenticator?.knownCaller(authorization);
  }

  /**
   * Refuses what the caller may not do.
   * @throws ServiceError FORBIDDEN, which names what is missing; AUTH_REQUIRED for an anonymous client
   */
  require(caller: Caller, verb: Verb, resource: Resource, origin?: Origin): void {
    const isAllowed = caller.rights.allows(verb, resource);
    if (this.audit) this.#record(caller, verb, `${nounOf(resource.kind)} ${resource.name}`, isAllowed, origin);
    if (isAllowed) return;
    throw this.#denied(caller, verb, (who) => missingText(who, verb, resource));
  }

  /** As require(), for a node and everything below it. */
  requireSubtree(caller: Caller, verb: Verb, path: string, origin?: Origin): void {
    const pattern = path === '/' ? '/**' : `${path}/**`;
    const isAllowed = caller.rights.allowsSubtree(verb, path);
    if (this.audit) this.#record(caller, verb, `node ${pattern}`, isAllowed, origin);
    if (isAllowed) return;
    throw this.#denied(
      caller,
      verb,
      (who) => `${missingText(who, verb, { kind: 'nodes', name: pattern })}, as it is about all nodes there`,
    );
  }

  /** As require(), for what only an admin may do. */
  requireAdmin(caller: Caller, origin?: Origin): void {
    if (this.audit) this.#record(caller, 'admin', routeOf(origin), caller.rights.isAdmin, origin);
    if (caller.rights.isAdmin) return;
    throw this.#denied(caller, 'admin', (who) => `${who} needs admin: true`);
  }

  /** As require(), for a caller with any identity. */
  requireIdentity(caller: Caller, origin?: Origin): void {
    if (!this.isOn || caller.identity !== undefined) return;
    if (this.audit) this.#record(caller, 'identity', routeOf(origin), false, origin);
    throw this.#denied(caller, 'identity', (who) => `${who} needs an identity`);
  }

  /** As require(), for the docs or the metrics. */
  requireThing(caller: Caller, thing: PublicThing, origin?: Origin): void {
    if (caller.rights.reads(thing)) return;
    if (this.audit) this.#record(caller, 'read', thing, false, origin);
    throw this.#denied(caller, 'read', (who) => `${who} needs read: [${thing}]`);
  }

  /** Counts and audits a credential that was refused, with why; it must not hold the credential. */
  noteRefusedCredential(reason: string, origin: Origin): void {
    for (const listener of this.#deniedListeners) listener('unknown', 'authenticate');
    const unknown = { identity: undefined, tokenId: undefined, verb: 'authenticate', code: 'AUTH_REQUIRED' };
    this.audit?.record({ ...unknown, resource: routeOf(origin), reason, origin });
  }

  /** Audits what a caller does with things of others, if it may as an admin. */
  noteAdministration(caller: Caller, resource: string, origin: Origin): void {
    if (this.audit && caller.rights.isAdmin) this.#record(caller, 'admin', resource, true, origin);
  }

  #record(caller: Caller, verb: string, resource: string, isAllowed: boolean, origin: Origin | undefined): void {
    const { identity, tokenId, certificate } = caller;
    const refusal = identity === undefined ? 'AUTH_REQUIRED' : 'FORBIDDEN';
    const code = isAllowed ? undefined : refusal;
    this.audit?.record({ identity, tokenId, certificate, verb, resource, code, origin });
  }

  /** Calls `listener` for each refusal. @param listener gets the identity, as few values as the policy has, and the verb */
  onDenied(listener: (identity: string, verb: string) => void): void {
    this.#deniedListeners.add(listener);
  }

  /** The value of a metric's label for an identity: users of an issuer may be any number, and each label is kept for ever. */
  labelOf(identity: string | undefined): string {
    if (identity === undefined) return 'anonymous';
    return Object.hasOwn(this.#policy?.document.identities ?? {}, identity) ? identity : 'other';
  }

  #denied({ identity, hint }: Caller, verb: string, missing: (who: string) => string): ServiceError {
    for (const listener of this.#deniedListeners) listener(this.labelOf(identity), verb);
    if (identity !== undefined) return new ServiceError('FORBIDDEN', `${missing(identity)}.`);
    return new ServiceError(
      'AUTH_REQUIRED',
      `${missing('An anonymous client')}. ${hint ?? 'Send a token: Authorization: Bearer weir_….'}`,
    );
  }

  /** Calls `listener` after each change of the policy. @returns a function that ends this */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads the file again; if it is not valid, the policy in use stays, and the log says why. */
  async reload(): Promise<void> {
    const before = this.#policy;
    try {
      const hasChanged = await this.#read();
      this.#failure = undefined;
      if (!hasChanged) return;
    } catch (error) {
      // It is read every second: the same failure is logged once.
      const { message } = error as Error;
      if (message === this.#failure) return;
      this.#failure = message;
      this.#errors += 1;
      this.#log.error(
        { err: error, file: this.#file },
        'The changed policy is not used; the one before it stays in force',
      );
      return;
    }
    this.#log.info({ file: this.#file, hash: this.#policy?.hash, before: before?.hash }, 'The policy has changed');
    this.recheck();
  }

  /** Makes long-lived requests check their caller again, as a credential may not be valid any more. */
  recheck(): void {
    this.#version += 1;
    for (const listener of this.#listeners) listener();
  }

  /** Changes whenever the same credential may have other rights. */
  get version(): number {
    return this.#version;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#derived?.close();
  }

  /** @returns whether the file has changed */
  async #read(): Promise<boolean> {
    if (this.#file === undefined) return false;
    const text = await readPolicyFile(this.#file);
    if (text === this.#text) return false;
    // Somebody may be writing the file: a part of it would be a policy, too, and would end sockets.
    if (this.#text !== undefined) {
      await sleep(settledMs);
      if ((await readPolicyFile(this.#file)) !== text) return false;
    }
    // A file that is not valid is reported once for each change.
    this.#text = text;
    const policy = policyOf(text, this.#file);
    this.#policy = policy;
    this.#authenticator = new Authenticator(policy, this.#derived);
    this.#loadedAt = Date.now();
    return true;
  }
}

/** A route by its method and pattern: its URL may hold handles of sessions. */
function routeOf(origin: Origin | undefined): string {
  return `${origin?.method} ${origin?.routeOptions.url}`;
}

function policyOf(text: string, file: string): Policy {
  try {
    return new Policy(text);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw new PolicyError(`The policy ${file} is not valid: ${error.message}`);
  }
}

async function readPolicyFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new PolicyError(`The policy ${file} cannot be read: ${(error as Error).message}.`);
  }
}
