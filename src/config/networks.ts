// Lists of addresses and networks, such as that of WEIR_TRUST_PROXY.
import ipaddr from 'ipaddr.js';
import { LRUCache } from 'lru-cache';

/** Names for ranges of addresses. */
const namedRanges: Record<string, readonly string[]> = {
  loopback: ['127.0.0.0/8', '::1/128'],
  linklocal: ['169.254.0.0/16', 'fe80::/10'],
  uniquelocal: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
};

/** The problem of an entry that should be an address, a network such as `10.0.0.0/8`, or a named range; undefined if it is valid. */
export function networkProblem(text: string): string | undefined {
  if (Object.hasOwn(namedRanges, text) || ipaddr.isValidCIDR(text)) return undefined;
  return ipaddr.IPv4.isValidFourPartDecimal(text) || ipaddr.IPv6.isValid(text)
    ? undefined
    : `${JSON.stringify(text)} is neither an address nor a network`;
}

/**
 * Returns a function that tells whether an address is in one of these networks.
 * @param networks entries without a networkProblem()
 */
export function inNetworks(networks: readonly string[]): (address: string) => boolean {
  const ranges = networks.flatMap((network) => namedRanges[network] ?? [network]).map(rangeOf);
  // Addresses come from a header, so a peer can send any number of them.
  const known = new LRUCache<string, boolean>({ max: cachedAddressesMax });
  return (address) => {
    let isIn = known.get(address);
    if (isIn === undefined) {
      isIn = ipaddr.isValid(address) && ranges.some((range) => matches(ipaddr.process(address), range));
      known.set(address, isIn);
    }
    return isIn;
  };
}

type Range = [ipaddr.IPv4 | ipaddr.IPv6, number];
const cachedAddressesMax = 1000;

function rangeOf(network: string): Range {
  if (ipaddr.isValidCIDR(network)) return ipaddr.parseCIDR(network);
  const address = ipaddr.process(network);
  return [address, address.kind() === 'ipv4' ? 32 : 128];
}

function matches(address: ipaddr.IPv4 | ipaddr.IPv6, [network, bits]: Range): boolean {
  return address.kind() === network.kind() && address.match(network, bits);
}
