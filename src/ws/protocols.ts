// The subprotocols of WebSockets. A browser cannot set a header, so it offers its token as a further protocol, `weir.bearer.<token>`
// (src/http/plugins/access.ts). The response names the one that is spoken, and so never repeats a token.

const spoken = 'weir.v1';

/** The protocol that the response to a handshake names; false for none. */
export function selectProtocol(offered: Set<string>): string | false {
  return offered.has(spoken) ? spoken : false;
}
