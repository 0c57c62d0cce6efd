// A policy as requests use it: which identity a credential belongs to, and what that identity may do. Immutable; a changed file makes a
// new one.
import { createHash } from 'node:crypto';
import { recentlyUsed } from '../core/recently-used.ts';
import {
  type CertificatePattern,
  type ClientCertificate,
  matchesPattern,
  parseCertificatePattern,
} from './client-certificate.ts';
import { type IdentityLimits, largestOf } from './limits.ts';
import { type Grant, identityNamePattern, type PolicyDocument, type Rule, readPolicy } from './policy-file.ts';
import { anonymousRights, type Rights, RuleRights, withName } from './rights.ts';
import { hasHash, tokenIdOf } from './tokens.ts';
import type { Resource, Verb } from './verbs.ts';

/** Identities whose compiled rights are kept. With one identity for each user of a JWT issuer there may be any number. */
const compiledRightsMax = 10_000;

interface StoredToken {
  id: string;
  identity: string;
  sha256: Buffer;
  /** Ms since 1970; undefined if it does not expire. */
  expiresAt: number | undefined;
}

type ClaimsOfUser = Readonly<Record<string, unknown>>;

export class Policy {
  /** A short hash of the file, by which operators see whether brokers have the same one. */
  readonly hash: string;
  readonly document: PolicyDocument;
  readonly anonymous: Rights;
  readonly #tokens = new Map<string, StoredToken>();
  readonly #byClaim: { identity: string; claim: string; has: string }[] = [];
  readonly #byCertificate: { identity: string; pattern: CertificatePattern }[] = [];
  readonly #rights = recentlyUsed<{ rights: RuleRights; limits: IdentityLimits | undefined }>(compiledRightsMax);

  /** @throws PolicyError with all problems of the file */
  constructor(text: string) {
    this.hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
    this.document = readPolicy(text);
    this.anonymous = anonymousRights(this.document.public);
    for (const [identity, { tokens, certs, jwt }] of Object.entries(this.document.identities)) {
      for (const { id, sha256, expires } of tokens) {
        this.#tokens.set(id, { id, identity, sha256: Buffer.from(sha256, 'hex'), expiresAt: expires });
      }
      for (const text of certs) {
        const pattern = parseCertificatePattern(text);
        if (pattern) this.#byCertificate.push({ identity, pattern });
      }
      if (jwt) this.#byClaim.push({ identity, ...jwt });
    }
  }

  /** The stored token that equals `token`, expired or not; undefined if there is none. */
  tokenOf(token: string): { id: string; identity: string; expiresAt: number | undefined } | undefined {
    const stored = this.#tokens.get(tokenIdOf(token) ?? '');
    return stored && hasHash(token, stored.sha256) ? stored : undefined;
  }

  /**
   * The identities of a user by the verified claims of a JWT: those whose claim has the value; without any, the one that the name
   * claim names. That name must not be one of the file, whose owner has other credentials.
   */
  identitiesOfUser(claims: ClaimsOfUser): string[] {
    const matched = this.#byClaim.filter(({ claim, has }) => {
      const value = claims[claim];
      return Array.isArray(value) ? value.includes(has) : value === has;
    });
    if (matched.length > 0) return [...new Set(matched.map(({ identity }) => identity))];
    const { nameClaim } = this.document.jwt ?? {};
    const name = nameClaim === undefined ? undefined : claims[nameClaim];
    const isName = typeof name === 'string' && identityNamePattern.test(name);
    return isName && !Object.hasOwn(this.document.identities, name) ? [name] : [];
  }

  /** Whether identities are known by client certificates. */
  get hasCertificates(): boolean {
    return this.#byCertificate.length > 0;
  }

  /** The identities that a client certificate matches; one, unless the policy is ambiguous. */
  identitiesOfCertificate(certificate: ClientCertificate): string[] {
    const matched = this.#byCertificate.filter(({ pattern }) => matchesPattern(certificate, pattern));
    return [...new Set(matched.map(({ identity }) => identity))];
  }

  /**
   * What a credential is made of, as a text: what comes from it ends when that changes.
   * @param tokenId the id of its token; undefined for one without, such as a JWT
   * @returns undefined if the identity has no such credential (any more)
   */
  basisOf(identity: string, tokenId: string | undefined): string | undefined {
    if (tokenId !== undefined) {
      const stored = this.#tokens.get(tokenId);
      return stored?.identity === identity ? `token ${stored.sha256.toString('hex')}` : undefined;
    }
    const { jwt, identities } = this.document;
    const { tokens: _, ...others } = (Object.hasOwn(identities, identity) && identities[identity]) || { tokens: [] };
    return createHash('sha256')
      .update(JSON.stringify([jwt, others]))
      .digest('base64url');
  }

  /** When a token of the file expires, ms since 1970; undefined if it does not. */
  expiryOf(tokenId: string): number | undefined {
    return this.#tokens.get(tokenId)?.expiresAt;
  }

  /** The rules that name an identity, or all, as it reads them: with its name, and without what they do not have. */
  rulesOf(identity: string): Record<string, unknown>[] {
    return this.#rulesFor(identity).map((rule) => shownRule(rule, identity));
  }

  /** Why an identity may do something, as the policy says it: the first rule, with the pattern that matters; undefined if it may not. */
  reasonFor(identity: string, verb: Verb, resource: Resource): string | undefined {
    const allows = (rules: (Grant & { admin?: boolean })[]) =>
      new RuleRights(identity, rules, []).allows(verb, resource);
    if (allows([])) return 'every identity may';
    for (const rule of this.#rulesFor(identity)) {
      for (const { text, part } of partsOf(rule)) if (allows([part])) return `who: ${rule.who}, ${text}`;
    }
    return undefined;
  }

  /** What an identity may do. */
  rightsOf(identity: string): RuleRights {
    return this.#compiled(identity).rights;
  }

  /** What an identity may use: of several rules the largest of each limit. An admin has no limits, so that nobody can shut it out. */
  limitsOf(identity: string): IdentityLimits | undefined {
    return this.#compiled(identity).limits;
  }

  #compiled(identity: string): { rights: RuleRights; limits: IdentityLimits | undefined } {
    let compiled = this.#rights.get(identity);
    if (!compiled) {
      const rules = this.#rulesFor(identity);
      const rights = new RuleRights(identity, rules, this.document.public);
      compiled = { rights, limits: rights.isAdmin ? undefined : largestOf(rules.map(({ limits }) => limits)) };
      this.#rights.set(identity, compiled);
    }
    return compiled;
  }

  #rulesFor(identity: string): Rule[] {
    return this.document.allow.filter(({ who }) => who === '*' || who === identity);
  }
}

/** A rule for texts: with the name of the identity, and without what it does not have. */
export function shownRule(rule: Grant & Partial<Rule>, identity: string): Record<string, unknown> {
  const { nodes, topics, groups, producers, read, limits = {}, admin = false } = rule;
  const parts = {
    nodes: namedIn(nodes, identity),
    topics: namedIn(topics, identity),
    groups: namedIn(groups, identity),
    producers: namedIn(producers, identity),
    read,
    limits,
  };
  const shown = Object.fromEntries(Object.entries(parts).filter(([, part]) => Object.keys(part).length > 0));
  return admin ? { ...shown, admin } : shown;
}

/** A rule as several with one pattern each, and their texts. */
function partsOf({
  nodes,
  topics,
  groups,
  producers,
  admin,
}: Rule): { text: string; part: Grant & { admin: boolean } }[] {
  const empty = { nodes: {}, topics: {}, groups: {}, producers: {}, read: [], admin: false };
  if (admin) return [{ text: 'admin: true', part: { ...empty, admin } }];
  return Object.entries({ nodes, topics, groups, producers }).flatMap(([kind, grants]) =>
    Object.entries(grants).map(([pattern, verbs]) => ({
      text: `${kind}: { "${pattern}": [${verbs.join(', ')}] }`,
      part: { ...empty, [kind]: { [pattern]: verbs } },
    })),
  );
}

function namedIn(grants: Record<string, readonly string[]>, identity: string): Record<string, readonly string[]> {
  return Object.fromEntries(Object.entries(grants).map(([pattern, verbs]) => [withName(pattern, identity), verbs]));
}
