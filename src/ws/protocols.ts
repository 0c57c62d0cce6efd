// Which subprotocol the response to a WebSocket's handshake names.
import { socketProtocol } from '../../schemas/socket.ts';

/**
 * The protocol that the server selects among those that a client offers; false for none. It is never the one that holds a token
 * (src/core/handshake.ts): responses are logged by proxies.
 */
export function selectProtocol(offered: Set<string>): string | false {
  return offered.has(socketProtocol) ? socketProtocol : false;
}
