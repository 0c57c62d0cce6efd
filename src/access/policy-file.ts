// The policy file: YAML, checked by zod. Its errors name the line and the field. docs/security.md describes the format.
import { createRequire } from 'node:module';
import { z } from 'zod';
import { describeIssues, parseOptions } from '../core/issues.ts';
import { parseCertificatePattern } from './client-certificate.ts';
import { limitsSchema } from './limits.ts';
import { nodePatternProblem } from './node-rules.ts';
import { isDerivedId } from './tokens.ts';
import { type Kind, publicThings, type Verb, verbsOf } from './verbs.ts';

/** The policy is not valid; the message has one line for each problem. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
}

/** An identity's name: it may stand in paths, and must not be a step in them. */
export const identityNamePattern = /^(?!(\.{1,2}|__proto__)$)[A-Za-z0-9._@-]{1,64}$/;
const identityName = z
  .string()
  .regex(identityNamePattern, 'must have 1 to 64 of the characters A-Z a-z 0-9 . _ @ -, and not be . or ..');

/** For YAML: most servers have no policy, and then load none of its 70 modules. */
const load = createRequire(import.meta.url);

/** More would make a file that nobody reads; a decision does not depend on the number. */
const rulesMax = 10_000;
const identitiesMax = 10_000;
const tokensPerIdentityMax = 2;
const certsPerIdentityMax = 20;

const tokenSchema = z.strictObject({
  // YAML reads an id of digits as a number.
  id: z.coerce
    .string()
    .regex(/^[a-z0-9-]{1,64}$/, 'must have 1 to 64 of the characters a-z 0-9 -')
    .refine((id) => !isDerivedId(id), 'must not be d- and 16 hex digits, as the ids of derived tokens are'),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be the SHA-256 of the whole token, as 64 lower-case hex digits'),
  expires: z
    .union([z.iso.date(), z.iso.datetime({ offset: true })], {
      error: 'must be a date such as 2027-03-01, or a time such as 2027-03-01T12:00:00Z',
    })
    .transform((text) => Date.parse(text))
    .optional(),
});

const certPattern = z
  .string()
  .max(1000)
  .refine((text) => parseCertificatePattern(text) !== undefined, {
    error:
      'must be attributes of the subject such as CN=ops or "CN=ops, O=Example", or one of DNS:…, URI:…, email:…, IP:…',
  });

const identitySchema = z.strictObject({
  tokens: z
    .array(tokenSchema)
    .max(tokensPerIdentityMax, `may be at most ${tokensPerIdentityMax}: one in use, and one to change to`)
    .default([]),
  /** Client certificates: each is one that a certificate may match. */
  certs: z.array(certPattern).max(certsPerIdentityMax, `may be at most ${certsPerIdentityMax}`).default([]),
  jwt: z.strictObject({ claim: z.string().min(1), has: z.string().min(1) }).optional(),
});

const jwtSchema = z.strictObject({
  issuer: z.string().min(1),
  audience: z.string().min(1),
  jwksUri: z.url({ protocol: /^https?$/, error: 'must be an http(s) URL' }),
  /** The claim that names the identity of each user. */
  nameClaim: z.string().min(1).optional(),
});

function verbList(kind: Kind) {
  const known: readonly Verb[] = verbsOf[kind];
  return z
    .array(z.enum(known as [Verb, ...Verb[]], { error: `must be one of ${known.join(', ')}` }))
    .min(1, 'must not be empty');
}

const namePattern = z.string().regex(/^[^/\s]{1,300}$/, 'must be a name; * in it stands for any text');
const nodePattern = z.string().superRefine((pattern, context) => {
  const problem = nodePatternProblem(pattern);
  if (problem !== undefined) context.addIssue(problem);
});

/** What a rule allows, and what a derived token may keep of it. */
const grantSchema = z.strictObject({
  nodes: z.record(nodePattern, verbList('nodes')).default({}),
  topics: z.record(namePattern, verbList('topics')).default({}),
  groups: z.record(namePattern, verbList('groups')).default({}),
  producers: z.record(namePattern, verbList('producers')).default({}),
  read: z.array(z.enum(publicThings, { error: `must be one of ${publicThings.join(', ')}` })).default([]),
});
export type Grant = z.output<typeof grantSchema>;

/** What a derived token allows, at most: rules without `who`. */
export const grantsSchema = z
  .array(grantSchema.extend({ admin: z.boolean().default(false) }))
  .min(1, 'must have a rule')
  .max(100, 'may have at most 100 rules');

const ruleSchema = grantSchema.extend({
  who: z.union([z.literal('*'), identityName], { error: 'must be the name of an identity, or * for all' }),
  admin: z.boolean().default(false),
  limits: limitsSchema.optional(),
});
export type Rule = z.output<typeof ruleSchema>;

const policySchema = z.strictObject({
  public: z.array(z.enum(publicThings, { error: `must be one of ${publicThings.join(', ')}` })).default([]),
  identities: z
    .record(identityName, identitySchema)
    .refine((all) => Object.keys(all).length <= identitiesMax, `may be at most ${identitiesMax}`)
    .default({}),
  jwt: jwtSchema.optional(),
  allow: z.array(ruleSchema).max(rulesMax, `may have at most ${rulesMax} rules`).default([]),
});
export type PolicyDocument = z.output<typeof policySchema>;

/**
 * Reads a policy.
 * @param text YAML
 * @throws PolicyError with all problems, each with its line and field
 */
export function readPolicy(text: string): PolicyDocument {
  const { LineCounter, parseDocument } = load('yaml') as typeof import('yaml');
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const lineAt = (offset: number) => `line ${lines.linePos(offset).line}`;
  if (document.errors.length > 0) {
    throw new PolicyError(document.errors.map(({ pos, message }) => `${lineAt(pos[0])}: ${message}`).join('\n'));
  }
  if (document.contents === null) throw new PolicyError('line 1: the file is empty; it needs identities and allow');
  /** The line of a field, or of the nearest thing around it that is in the file. */
  const placeOf = (path: PropertyKey[]) => {
    for (let length = path.length; length > 0; length -= 1) {
      const node = document.getIn(path.slice(0, length), true) as { range?: [number, number, number] } | undefined;
      if (node?.range) return lineAt(node.range[0]);
    }
    return 'line 1';
  };
  // Aliases may repeat a part of the file many times over.
  const parsed = policySchema.safeParse(document.toJS({ maxAliasCount: 100 }) ?? {}, {
    // Without the refused value: somebody may have written a token in the place of its hash.
    error: parseOptions.error,
  });
  if (!parsed.success) {
    const texts = parsed.error.issues.map((issue) => `${placeOf(issue.path)}: ${textOf(issue)}`);
    throw new PolicyError(texts.join('\n'));
  }
  const problems = conflictsIn(parsed.data).map(({ path, message }) => `${placeOf(path)}: ${fieldOf(path)}${message}`);
  if (problems.length > 0) throw new PolicyError(problems.join('\n'));
  return parsed.data;
}

/** An issue as the errors of requests describe it. For a name that is not valid, the reason is inside. */
function textOf(issue: z.core.$ZodIssue): string {
  const inner =
    issue.code === 'invalid_key'
      ? issue.issues.map(({ message }) => ({ ...issue, message, code: 'custom' as const }))
      : [issue];
  return describeIssues(new z.ZodError(inner as z.core.$ZodIssue[]));
}

function fieldOf(path: PropertyKey[]): string {
  return `${path.map(String).join('.')}: `;
}

/** Problems of parts that are valid alone, but not together. */
function conflictsIn(policy: PolicyDocument): { path: PropertyKey[]; message: string }[] {
  const problems: { path: PropertyKey[]; message: string }[] = [];
  const tokenIds = new Map<string, string>();
  const certs = new Map<string, string>();
  for (const [name, { tokens, certs: patterns, jwt }] of Object.entries(policy.identities)) {
    for (const [i, { id }] of tokens.entries()) {
      const other = tokenIds.get(id);
      if (other !== undefined)
        problems.push({
          path: ['identities', name, 'tokens', i, 'id'],
          message: `${id} is the id of a token of ${other} already; ids are unique in the file`,
        });
      tokenIds.set(id, name);
    }
    for (const [i, pattern] of patterns.entries()) {
      const other = certs.get(pattern);
      if (other !== undefined)
        problems.push({
          path: ['identities', name, 'certs', i],
          message: `${pattern} stands for ${other} already; a certificate has one identity`,
        });
      certs.set(pattern, name);
    }
    if (jwt && !policy.jwt)
      problems.push({
        path: ['identities', name, 'jwt'],
        message: 'needs a jwt section with issuer, audience and jwksUri',
      });
  }
  for (const [i, { who, admin, limits }] of policy.allow.entries()) {
    if (admin && limits)
      problems.push({
        path: ['allow', i, 'limits'],
        message: 'an admin has no limits, so that nobody can shut it out',
      });
    if (who === '*' || Object.hasOwn(policy.identities, who) || policy.jwt?.nameClaim !== undefined) continue;
    problems.push({ path: ['allow', i, 'who'], message: `${who} is not among the identities` });
  }
  return problems;
}
