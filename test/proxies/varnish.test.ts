// See proxy-suite.ts.
import t from 'tap';
import { varnish } from './proxy-programs.ts';
import { checkFreshness } from './proxy-requests.ts';
import { testProxy } from './proxy-suite.ts';

await testProxy(t, varnish, async (t, start) => {
  await t.test('responses are the same whether Varnish may cache or must pass them', async (t) => {
    // The default of Varnish.
    await checkFreshness(t, await start(t, [['return (pass);', 'return (hash);']]));
  });
});
