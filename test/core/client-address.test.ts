// Which client an address belongs to.
import t from 'tap';
import { clientOfAddress, plainAddress } from '../../src/core/client-address.ts';

t.test('an IPv4 address is a client in each notation, and IPv6 addresses of one /64 are one client', async (t) => {
  for (const [address, client] of [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::ffff:c000:207', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8:1:3::9', '2001:db8:1:3::/64'],
    ['::1', '::/64'],
    ['fe80::1%eth0', 'fe80::/64'],
  ] as const) {
    t.equal(clientOfAddress(address), client, address);
  }
});

t.test('a string that is not an address is not a client', async (t) => {
  for (const text of ['', 'unknown', '_hidden', '192.0.2', '192.0.2.999', '2130706433', 'example.org', '1.2.3.4:80']) {
    t.equal(clientOfAddress(text), undefined, text);
  }
});

t.test('an address is shown in its usual notation, and what is none is not shown', async (t) => {
  for (const [address, shown] of [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:DB8:1:2:0:0:0:9', '2001:db8:1:2::9'],
    ['fe80::1%eth0', 'fe80::1'],
    ['unknown', undefined],
    ['192.0.2', undefined],
  ] as const) {
    t.equal(plainAddress(address), shown, address);
  }
});
