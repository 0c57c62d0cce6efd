// The curl command that does the same as a request.

/** A request as it is sent. */
interface SentRequest {
  method: string;
  url: string;
  headers: { readonly [name: string]: string };
  body?: string | Uint8Array;
  /** Files of certificates: they have the names of curl's options. */
  files?: { readonly [option in 'cacert' | 'cert' | 'key']?: { path: string } };
}

/** Texts longer than this are shown as a file to be read from stdin. */
const bodyMax = 2000;
/** What curl sends anyway, or every request has. */
const leftOut: ReadonlySet<string> = new Set(['idempotency-key', 'accept', 'user-agent']);

/** The equivalent curl command. The token never stands in it, only the name of its variable. */
export function curlOf({ method, url, headers, body, files = {} }: SentRequest): string {
  const parts = ['curl', ...Object.entries(files).flatMap(([name, { path }]) => [`--${name}`, quoted(path)])];
  if (method === 'HEAD') parts.push('-I');
  else if (method !== (body === undefined ? 'GET' : 'POST')) parts.push('-X', method);
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase();
    if (lower === 'authorization') parts.push('-H', '"Authorization: Bearer $WEIR_TOKEN"');
    else if (lower === 'weir-session') parts.push('-H', '"Weir-Session: $WEIR_SESSION"');
    else if (lower === 'accept' && /event-stream/.test(value)) parts.push('-N', '-H', quoted(`${name}: ${value}`));
    else if (!leftOut.has(lower)) parts.push('-H', quoted(`${name}: ${value}`));
  }
  if (body !== undefined && body.length > 0) {
    const isShort = typeof body === 'string' && body.length <= bodyMax && !body.startsWith('@');
    parts.push('--data-binary', isShort ? quoted(body) : '@-');
  } else if (body !== undefined) parts.push('--data-binary', "''");
  parts.push(quoted(url));
  return parts.join(' ');
}

/** A word of a POSIX shell. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
