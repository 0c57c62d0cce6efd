// Which remote addresses count as one client in limits. An IPv6 network of /64 is one client, as providers give each customer
// at least a whole one.
import ipaddr from 'ipaddr.js';

/** The client that an address belongs to; undefined if it is no address. */
export function clientOfAddress(address: string): string | undefined {
  // Zones, as in fe80::1%eth0, and ports say nothing of who it is.
  const bare = address.replace(/%.*$/, '');
  if (ipaddr.IPv4.isValidFourPartDecimal(bare)) return bare;
  if (!ipaddr.IPv6.isValid(bare)) return undefined;
  const parsed = ipaddr.process(bare);
  if (parsed.kind() === 'ipv4') return parsed.toString();
  const { parts } = parsed as ipaddr.IPv6;
  return `${new ipaddr.IPv6([...parts.slice(0, 4), 0, 0, 0, 0]).toString()}/64`;
}
