// WebSockets of the package ws: for Node.js 20, which has none, and for certificates of one's own, of which the global class knows
// nothing. Loaded only there.
import type { Settings, WebSocketLike } from './options.ts';
import { secureContext } from './tls.ts';

type PackageSocket = new (url: string, protocols: string[], options: object) => WebSocketLike;

/** @returns undefined if the package is not installed */
export async function packageSockets(
  tls: Settings['tls'],
): Promise<((url: string, protocols: string[]) => WebSocketLike) | undefined> {
  // A name that bundlers do not follow: browsers do not need the package.
  const name = ['w', 's'].join('');
  const module = await import(/* @vite-ignore */ name).catch(() => undefined);
  if (module === undefined) return undefined;
  const { WebSocket: Socket } = module as { WebSocket: PackageSocket };
  const secure = tls ? secureContext(tls) : {};
  return (url, protocols) => new Socket(url, protocols, secure);
}
