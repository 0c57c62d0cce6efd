// Who is asking: finds the identity of a request by its token, its JWT or its client certificate.
import { createHash } from 'node:crypto';
import type { JWTPayload, JWTVerifyGetKey } from 'jose';
import { recentlyUsed } from '../core/recently-used.ts';
import { ServiceError } from '../core/service-error.ts';
import type { ClientCertificate } from './client-certificate.ts';
import type { DerivedToken, DerivedTokens, ParentCredential } from './derived-tokens.ts';
import type { IdentityLimits } from './limits.ts';
import type { Policy } from './policy.ts';
import type { Grant } from './policy-file.ts';
import { narrowedRights, type Rights } from './rights.ts';
import { hasHash, isDerivedId, tokenIdOf } from './tokens.ts';

/** Who a request comes from. */
export interface Caller {
  /** Undefined for an anonymous client. */
  readonly identity: string | undefined;
  /** Limits and shares count the requests of one key together. Undefined for an anonymous client: its address is counted instead. */
  readonly clientKey?: string | undefined;
  /** The id of its token, if it has sent one. */
  readonly tokenId: string | undefined;
  /** When its credential ends, ms since 1970; undefined if it does not. */
  readonly expiresAt: number | undefined;
  readonly rights: Rights;
  /** The client certificate that proves its identity. */
  readonly certificate?: string | undefined;
  /** Why an anonymous client is one, although it has sent something: the end of a refusal. */
  readonly hint?: string | undefined;
  /** What its identity may use; undefined if that is not limited. */
  readonly limits?: IdentityLimits | undefined;
  /** Whether its credential is a derived token, which makes no others. */
  readonly isDerived: boolean;
  /** What a derived token allows itself. */
  readonly narrowedTo?: readonly Grant[];
}

/** Whose things a caller may use: those of this identity; undefined = those of all. */
export function actsAs({ identity, rights }: Caller): string | undefined {
  // No identity has this name, so an anonymous client has no things.
  return rights.isAdmin ? undefined : (identity ?? '*');
}

/** What a request proves its identity with. */
export interface Credentials {
  /** The header Authorization. */
  authorization?: string | undefined;
  /** The certificate of its connection, which counts only without that header. */
  certificate?: ClientCertificate | undefined;
  /** Why that certificate does not count for this request, as a sentence. */
  ignored?: string | undefined;
  /** What the ticket of an event stream comes from, in the place of the header. */
  ticketOf?: ParentCredential | undefined;
  /** Who sends it, for the share of the tokens that are looked up at once. */
  client: string;
}

/** Only algorithms with a public key: with a shared secret, who verifies could also sign. */
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
/** Differences of clocks, as the issuer's is not ours. */
const clockTolerance = '30s';
/** Verified JWTs whose claims are kept until they expire, by their hash. */
const verifiedMax = 10_000;
/** Headers with a valid token whose callers are kept. */
const knownTokensMax = 10_000;
/** How long a verified JWT is believed before its signature is checked again, as keys are revoked. */
const verifiedMsMax = 60_000;

export class Authenticator {
  readonly #policy: Policy;
  readonly #now: () => number;
  /** What verifies JWTs, loaded only for a policy that has them; undefined without. */
  readonly #jwt: Promise<{ jose: typeof import('jose'); keys: JWTVerifyGetKey }> | undefined;
  readonly #derived: DerivedTokens | undefined;
  readonly #verified = recentlyUsed<JWTPayload>(verifiedMax, { ttl: verifiedMsMax });
  /**
   * Callers by the header with their valid token, so that it is hashed once and not for each request. They end with the policy. The given
   * header is found by its hash with a seed of this process, so the time of the search tells nothing of those that are known.
   */
  readonly #known = recentlyUsed<Caller>(knownTokensMax);

  /** The callers of the certificates of open connections. */
  readonly #byCertificates = new WeakMap<ClientCertificate, Caller>();

  /**
   * @param derived where derived tokens are found; undefined where there are none
   * @param now the time, ms since 1970
   */
  constructor(policy: Policy, derived?: DerivedTokens, now: () => number = Date.now) {
    this.#policy = policy;
    this.#derived = derived;
    this.#now = now;
    const { jwt } = policy.document;
    if (jwt) {
      this.#jwt = import('jose').then((jose) => ({ jose, keys: jose.createRemoteJWKSet(new URL(jwt.jwksUri)) }));
    }
  }

  /**
   * Finds the caller. Without credentials it is anonymous.
   * @returns a promise only if a JWT has to be verified, or a derived token looked up
   * @throws ServiceError AUTH_REQUIRED for credentials that are not valid; TOO_MANY_REQUESTS and STORE_UNAVAILABLE for a derived token
   */
  callerOf({ authorization, certificate, ignored, ticketOf, client }: Credentials): Caller | Promise<Caller> {
    if (ticketOf) return this.#byTicket(ticketOf, client);
    if (authorization === undefined) {
      if (!certificate) return this.#anonymous();
      return ignored === undefined ? this.#byCertificate(certificate) : this.#anonymous(ignored);
    }
    const known = this.knownCaller(authorization);
    if (known) return known;
    const caller = this.#byAuthorization(authorization, client);
    // A derived token may be revoked at any time, so it is not kept here.
    if (!(caller instanceof Promise) && !caller.isDerived) this.#known.set(authorization, caller);
    return caller;
  }

  /** The caller of a header whose token was found valid before, and is still. */
  knownCaller(authorization: string): Caller | undefined {
    const known = this.#known.get(authorization);
    return known && (known.expiresAt === undefined || known.expiresAt > this.#now()) ? known : undefined;
  }

  #byAuthorization(authorization: string, client: string): Caller | Promise<Caller> {
    const [, scheme = '', value = ''] = /^(\S+) +(\S+)$/.exec(authorization.trim()) ?? [];
    switch (scheme.toLowerCase()) {
      case 'bearer':
        return tokenIdOf(value) === undefined && value.split('.').length === 3
          ? this.#byJwt(value)
          : this.#byToken(value, client);
      case 'basic': {
        const text = Buffer.from(value, 'base64').toString('utf8');
        const at = text.indexOf(':');
        return this.#byToken(text.slice(at + 1), client, at < 0 ? '' : text.slice(0, at));
      }
    }
    throw refused(
      'Authorization must be "Bearer <token>", or "Basic" with the identity as user and a token as password.',
    );
  }

  /** @param user the identity that the client has named; undefined if it named none */
  #byToken(token: string, client: string, user?: string): Caller | Promise<Caller> {
    const stored = this.#policy.tokenOf(token);
    const id = tokenIdOf(token);
    if (id === undefined)
      throw refused('The token is malformed; it must be weir_<id>_<43 characters>, as it was given out.');
    if (isDerivedId(id)) {
      return this.#derivedCaller(id, client, (found) => {
        return hasHash(token, found.sha256) && (user === undefined || user === found.parent.identity);
      });
    }
    if (!stored || (user !== undefined && user !== stored.identity)) {
      throw refused(`The token ${id} is not valid: it is unknown or revoked, or belongs to another identity.`);
    }
    const { identity, expiresAt } = stored;
    if (expiresAt !== undefined && expiresAt <= this.#now()) {
      throw expired(`The token ${id}`, expiresAt);
    }
    return this.#caller(identity, id, expiresAt);
  }

  /** A browser shows a certificate by itself, also where it needs none: one that no identity has leaves it anonymous. */
  #byCertificate(certificate: ClientCertificate): Caller {
    const { label, problem, expiresAt } = certificate;
    if (problem !== undefined) throw refused(`The client certificate ${label} is not trusted: ${problem}.`);
    if (expiresAt <= this.#now()) {
      throw expired(`The client certificate ${label}`, expiresAt);
    }
    const known = this.#byCertificates.get(certificate);
    if (known) return known;
    const [identity, other] = this.#policy.identitiesOfCertificate(certificate);
    if (other !== undefined) {
      throw refused(
        `Two identities of the policy match the client certificate ${label}, ${identity} and ${other}; it must match one.`,
      );
    }
    const caller =
      identity === undefined
        ? this.#anonymous(`No identity of the policy has a client certificate such as ${label} among its certs.`)
        : { ...this.#caller(identity, undefined, expiresAt), certificate: label };
    this.#byCertificates.set(certificate, caller);
    return caller;
  }

  /** @param isRight whether the token that was found is the one that was sent */
  #derivedCaller(id: string, client: string, isRight: (found: DerivedToken) => boolean): Caller | Promise<Caller> {
    const callerOf = (found: DerivedToken | undefined): Caller => {
      if (!found || !isRight(found)) {
        throw refused(
          `The token ${id} is not valid: it is unknown, has expired or was revoked, or belongs to another identity.`,
        );
      }
      const parent = this.#callerFrom(found.parent, `the derived token ${id}`);
      if (found.expiresAt <= this.#now()) throw expired(`The token ${id}`, found.expiresAt);
      return {
        ...parent,
        tokenId: id,
        expiresAt: Math.min(found.expiresAt, parent.expiresAt ?? Number.POSITIVE_INFINITY),
        rights: narrowedRights(found.own, parent.rights, this.#policy.anonymous),
        isDerived: true,
        narrowedTo: found.allow,
      };
    };
    const found = this.#derived?.find(id, client);
    return found instanceof Promise ? found.then(callerOf) : callerOf(found);
  }

  #byTicket(credential: ParentCredential, client: string): Caller | Promise<Caller> {
    const { token, identity, basis } = credential;
    if (basis === '' && token !== undefined)
      return this.#derivedCaller(token, client, ({ parent }) => parent.identity === identity);
    return this.#callerFrom(credential, 'the ticket');
  }

  /**
   * The caller of a credential from which another one comes, as it is now.
   * @param what comes from it, for the text of an error
   */
  #callerFrom({ identity, token, basis, expiresAt }: ParentCredential, what: string): Caller {
    if (this.#policy.basisOf(identity, token) !== basis)
      throw refused(`The credential that ${what} comes from is not valid any more, so neither is this.`);
    const ends = token === undefined ? expiresAt : this.#policy.expiryOf(token);
    if (ends !== undefined && ends <= this.#now()) throw expired(`The credential that ${what} comes from`, ends);
    return this.#caller(identity, token, ends);
  }

  async #byJwt(token: string): Promise<Caller> {
    const claims = await this.#claimsOf(token);
    const [identity, other] = this.#policy.identitiesOfUser(claims);
    if (identity === undefined) throw refused('The JWT is valid, but no identity of the policy matches its claims.');
    if (other !== undefined) {
      throw refused(`Two identities of the policy match the JWT, ${identity} and ${other}; it must match one.`);
    }
    const expiresAt = claims.exp === undefined ? undefined : claims.exp * 1000;
    return this.#caller(identity, undefined, expiresAt);
  }

  async #claimsOf(token: string): Promise<JWTPayload> {
    const { jwt } = this.#policy.document;
    if (!jwt || !this.#jwt) throw refused('The policy of this server has no section jwt; use a token weir_….');
    const key = createHash('sha256').update(token).digest('base64');
    const known = this.#verified.get(key);
    if (known && (known.exp ?? 0) * 1000 > this.#now()) return known;
    const { issuer, audience } = jwt;
    const { jose, keys } = await this.#jwt;
    try {
      const { payload } = await jose.jwtVerify(token, keys, {
        issuer,
        audience,
        algorithms,
        clockTolerance,
        requiredClaims: ['exp'],
        currentDate: new Date(this.#now()),
      });
      this.#verified.set(key, payload);
      return payload;
    } catch (error) {
      const isAboutToken = error instanceof jose.errors.JOSEError && !(error instanceof jose.errors.JWKSTimeout);
      const reason = error instanceof Error ? error.message : String(error);
      throw refused(
        isAboutToken
          ? `The JWT is not valid: ${reason}.`
          : `The JWT cannot be verified, as the keys of its issuer cannot be read: ${reason}.`,
      );
    }
  }

  #anonymous(hint?: string): Caller {
    const { anonymous: rights } = this.#policy;
    return { identity: undefined, tokenId: undefined, expiresAt: undefined, rights, hint, isDerived: false };
  }

  #caller(identity: string, tokenId?: string, expiresAt?: number): Caller {
    const policy = this.#policy;
    const limits = policy.limitsOf(identity);
    const clientKey = `identity ${identity}`;
    return { identity, clientKey, tokenId, expiresAt, rights: policy.rightsOf(identity), limits, isDerived: false };
  }
}

function expired(what: string, at: number): ServiceError {
  return refused(`${what} has expired at ${new Date(at).toISOString()}; use a new one.`);
}

function refused(detail: string): ServiceError {
  return new ServiceError('AUTH_REQUIRED', detail);
}
