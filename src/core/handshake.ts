// The headers of a WebSocket's handshake: what the WebSocket library would refuse with a page of HTML (RFC 6455, 4.2.1).

/** As Node gives them. */
type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** What is wrong with the headers of a handshake, as a sentence; undefined if a WebSocket can be made of it. */
export function handshakeProblem(headers: Headers): string | undefined {
  const { 'sec-websocket-version': version, 'sec-websocket-key': key, 'sec-websocket-protocol': protocol } = headers;
  if (version !== '13') return `Sec-WebSocket-Version is ${version ?? 'missing'}; it must be 13 (RFC 6455).`;
  if (!/^[+/0-9A-Za-z]{22}==$/.test(String(key ?? '').trim())) {
    return `Sec-WebSocket-Key is ${key === undefined ? 'missing' : JSON.stringify(key)}; it must be 16 bytes in base64, which are 24 characters (RFC 6455).`;
  }
  if (protocol === undefined) return undefined;
  const names = namesIn(String(protocol));
  if (names.every((name) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) && new Set(names).size === names.length)
    return undefined;
  return `Sec-WebSocket-Protocol is ${JSON.stringify(protocol)}; it must be different names with commas between them, or be left out.`;
}

/** How a browser sends a token with a WebSocket, as it cannot set a header. */
const bearerPrefix = 'weir.bearer.';

/** What the header Sec-WebSocket-Protocol offers: protocols, and the token that may stand among them. */
export function offeredBy(header: string): { protocols: string[]; token: string | undefined } {
  const names = namesIn(header);
  const token = names.find((name) => name.startsWith(bearerPrefix))?.slice(bearerPrefix.length);
  return { protocols: names.filter((name) => !name.startsWith(bearerPrefix)), token };
}

function namesIn(header: string): string[] {
  return header.split(',').map((name) => name.trim());
}
