// Certificates of clients, as the policy looks at them: the attributes of the subject and the alternative names, each compared as a
// whole. That an authority has signed a certificate is verified before, by TLS.
import type { X509Certificate } from 'node:crypto';

export interface ClientCertificate {
  /** For texts: its subject in one line. */
  readonly label: string;
  /** The values of each attribute of the subject, such as `CN`. */
  readonly subject: ReadonlyMap<string, readonly string[]>;
  /** The alternative names, as the policy writes them: `DNS:a.example`, `URI:spiffe://…`, `email:a@b`, `IP:10.0.0.1`. */
  readonly names: ReadonlySet<string>;
  /** Ms since 1970. */
  readonly expiresAt: number;
  /** Why TLS does not trust it; undefined if it does. */
  readonly problem: string | undefined;
}

/** What the policy asks of a certificate: all of these attributes, or one alternative name. */
export type CertificatePattern = { name: string } | { attributes: readonly (readonly [name: string, value: string])[] };

const labelMax = 200;
/** As Node prints the kinds of names that a policy can ask for, and as the policy writes them. */
const nameKinds = new Map([
  ['DNS', 'DNS'],
  ['URI', 'URI'],
  ['email', 'email'],
  ['IP Address', 'IP'],
]);
/** One name in Node's list: a value with special characters is a JSON string. */
const listedName = /([^:,"]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/gy;

/** @param problem why TLS does not trust it */
export function readClientCertificate(certificate: X509Certificate, problem?: string): ClientCertificate {
  // The printed subject could be read in two ways; here each value stands alone.
  const { subject } = certificate.toLegacyObject();
  const attributes = Object.entries(subject).map(([name, value]) => [name, [value].flat()] as [string, string[]]);
  return {
    label: certificate.subject?.split('\n').join(', ').slice(0, labelMax) || 'without a subject',
    subject: new Map(attributes),
    names: new Set(namesIn(certificate.subjectAltName ?? '')),
    expiresAt: Date.parse(certificate.validTo),
    problem,
  };
}

function namesIn(list: string): string[] {
  return [...list.matchAll(listedName)].flatMap(([, kind = '', value = '']) => {
    const prefix = nameKinds.get(kind);
    if (prefix === undefined) return [];
    return [normalized(prefix, value.startsWith('"') ? String(JSON.parse(value)) : value)];
  });
}

/** Host names are the same in either case. */
function normalized(kind: string, value: string): string {
  return `${kind}:${kind === 'DNS' ? value.toLowerCase() : value}`;
}

/** @returns undefined if the text is no pattern */
export function parseCertificatePattern(text: string): CertificatePattern | undefined {
  const [, kind, value = ''] = /^(DNS|URI|email|IP):(\S+)$/.exec(text) ?? [];
  if (kind !== undefined) return { name: normalized(kind, value) };
  // A comma within a value is written \,
  const attributes = text.split(/(?<!\\),\s*/).map((part) => /^([A-Za-z][A-Za-z0-9.]*)=(.+)$/s.exec(part));
  if (attributes.some((match) => match === null)) return undefined;
  return { attributes: attributes.map((match) => [match?.[1] ?? '', (match?.[2] ?? '').replaceAll('\\,', ',')]) };
}

/** Whether a certificate has what a pattern asks for. An attribute that stands in it several times matches nothing: it may mean either. */
export function matchesPattern({ subject, names }: ClientCertificate, pattern: CertificatePattern): boolean {
  if ('name' in pattern) return names.has(pattern.name);
  return pattern.attributes.every(([name, value]) => {
    const [only, ...others] = subject.get(name) ?? [];
    return only === value && others.length === 0;
  });
}
