// Which remote addresses count as one client in limits. An IPv6 network of /64 is one client, as providers give each customer
// at least a whole one.
import ipaddr from 'ipaddr.js';

/** An address in its usual notation: IPv4 as such, without a zone; undefined for a text that is no address. */
export function plainAddress(text: string): string | undefined {
  return parsed(text)?.toString();
}

/** The client that an address belongs to; undefined if it is no address. */
export function clientOfAddress(text: string): string | undefined {
  const address = parsed(text);
  if (address === undefined || address.kind() === 'ipv4') return address?.toString();
  const { parts } = address as ipaddr.IPv6;
  return `${new ipaddr.IPv6([...parts.slice(0, 4), 0, 0, 0, 0]).toString()}/64`;
}

function parsed(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  // Zones, as in fe80::1%eth0, and ports say nothing of who it is.
  const bare = text.replace(/%.*$/, '');
  return ipaddr.IPv4.isValidFourPartDecimal(bare) || ipaddr.IPv6.isValid(bare) ? ipaddr.process(bare) : undefined;
}
