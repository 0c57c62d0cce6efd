// See proxy-suite.ts.
import t from 'tap';
import { varnish } from './proxy-programs.ts';
import { checkFreshness } from './proxy-requests.ts';
import { testProxy } from './proxy-suite.ts';

await testProxy(t, varnish, async (t, start) => {
  await t.test('what may be cached is the same as what must be passed', async (t) => {
    // As Varnish does it by itself.
    await checkFreshness(t, await start(t, [['return (pass);', 'return (hash);']]));
  });
});
