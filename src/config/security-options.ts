// The options that say who may reach the server and what they may do. config/options.ts has all others, and this table in its own.
import { z } from 'zod';
import type { OptionTable } from './option.ts';
import { matching, oneOf, parseCorsOrigin } from './values.ts';

export interface SecurityConfig {
  /** Origins of web pages that may use this server; `*` stands for all. */
  corsOrigins: string[];
  /** Names in the Host header that this server accepts besides its own; `*` stands for all. */
  allowedHosts: string[];
  /** The policy that says who may do what; absent: everybody may do everything. */
  accessFile?: string;
  /** Listen beyond the loopback without a policy. */
  insecure: boolean;
  /** The file of the audit log, or `-` for the standard output; absent: none. */
  auditFile?: string;
  /** Audit also writes and deletions that are allowed. */
  auditWrites: boolean;
  /** PEM files: the certificate of this server with its chain, and its key; absent: plain HTTP. */
  tlsCert?: string;
  tlsKey?: string;
  /** PEM file of the authorities that sign client certificates; absent: clients are not asked for one. */
  tlsClientCa?: string;
}

export const securityOptions: OptionTable<SecurityConfig> = {
  corsOrigins: {
    variable: 'WEIR_CORS_ORIGINS',
    schema: z
      .string()
      .transform((text, context) => text.split(',').map((part) => parseCorsOrigin(part.trim(), context))),
    default: '',
    placeholder: 'origins',
    meaning:
      'Origins of web pages that may use this server, separated by commas; * stands for all. Default: only its own.',
  },
  allowedHosts: {
    variable: 'WEIR_ALLOWED_HOSTS',
    schema: matching(
      /^\s*(\*|[\w.-]+)\s*(,\s*(\*|[\w.-]+)\s*)*$/,
      'must be host names without ports, separated by commas, or *',
    ).transform((text) => text.split(',').map((name) => name.trim().toLowerCase())),
    default: '',
    placeholder: 'names',
    meaning:
      'Further names in the Host header that this server accepts, separated by commas. It always accepts localhost, addresses, the name of its machine and that in WEIR_ADVERTISED_URL. .example.com stands for all names below it, * for all.',
  },
  accessFile: {
    variable: 'WEIR_ACCESS_FILE',
    schema: z.string(),
    placeholder: 'file',
    meaning:
      'Policy in YAML that says who may do what (docs/security.md). A change of the file applies within seconds. Default: everybody may do everything.',
  },
  insecure: {
    variable: 'WEIR_INSECURE',
    schema: oneOf(['true', 'false']).transform((text) => text === 'true'),
    default: 'false',
    meaning:
      'Whether to listen on an address other than the loopback without WEIR_ACCESS_FILE, so that everybody who reaches it may do everything: true or false.',
  },
  auditFile: {
    variable: 'WEIR_AUDIT_FILE',
    schema: z.string(),
    placeholder: 'file',
    meaning:
      'File to which a line of JSON is appended for each refusal and each act of administration; - = the standard output. It is opened anew after SIGHUP. Default: none.',
  },
  auditWrites: {
    variable: 'WEIR_AUDIT_WRITES',
    schema: oneOf(['true', 'false']).transform((text) => text === 'true'),
    default: 'false',
    meaning: 'Whether the audit log also has the writes and deletions that were allowed: true or false.',
  },
  tlsCert: {
    variable: 'WEIR_TLS_CERT',
    schema: z.string(),
    placeholder: 'file',
    meaning:
      'PEM file with the certificate of this server, followed by those between it and its authority. With it the port takes TLS (https, wss) and nothing else. A change of the files applies within seconds. Default: plain HTTP.',
  },
  tlsKey: {
    variable: 'WEIR_TLS_KEY',
    schema: z.string(),
    placeholder: 'file',
    meaning: 'PEM file with the private key of that certificate.',
  },
  tlsClientCa: {
    variable: 'WEIR_TLS_CLIENT_CA',
    schema: z.string(),
    placeholder: 'file',
    meaning:
      'PEM file with the authorities that sign client certificates, by which the policy knows identities (certs). Default: clients are asked for none.',
  },
};
