// The client in headless Chromium (npm run test:client:browser): in pages of the server and of another origin, over lost connections,
// after a reload, and in tabs that are frozen. Where there is no Chromium it is not tried, and the output says so.
import type { Page } from 'puppeteer-core';
import t, { type Test } from 'tap';
import { writePolicy } from '../../../test/helpers/access.ts';
import { startFaultyNetwork } from '../../../test/helpers/faulty-network.ts';
import { randomOf } from '../../../test/helpers/random.ts';
import { eventually, http, startTestServer } from '../../../test/helpers/server.ts';
import type * as core from '../../src/index.ts';
import type * as recipes from '../../src/recipes/index.ts';
import { lock } from '../../src/recipes/index.ts';
import { startClient, take } from '../client.ts';
import { startHostileNetwork } from '../faults/hostile-network.ts';
import {
  bundleClient,
  findChromium,
  loaded,
  openPage,
  openPageOfServer,
  startChromium,
  startPageServer,
} from './browser.ts';

/** What the functions that run in a page find there. */
declare const client: typeof core & typeof recipes;
/** What one function leaves for the next one. */
declare const kept: { [name: string]: any };

/** What `useEveryPart` returns where all of it works. */
const everyPart = {
  node: 'blue',
  watched: ['created', 'changed'],
  cached: 'red',
  owner: true,
  held: true,
  produced: { partition: 0, offset: 0 },
  consumed: [{ n: 1 }],
  tailed: [{ n: 1 }],
  ended: 'lost',
};

/** Uses tree, watch, cache, session, lock, producer, consumer and tail in a page. @returns what came of it, or the error */
function useEveryPart(page: Page, name: string, options: core.WeirOptions): Promise<unknown> {
  return page.evaluate(
    async (name, options) => {
      const weir = new client.Weir(options);
      try {
        const watch = weir.watch(`/${name}`, { mode: 'recursive' });
        await watch.started;
        await weir.tree.create(`/${name}`, 'blue');
        const node = (await weir.tree.get(`/${name}`))?.text;
        await weir.tree.set(`/${name}`, 'red');
        const watched = [await watch.next(), await watch.next()].map(({ value }) => value?.events[0]?.type);
        await watch.return();
        const cache = weir.cache(`/${name}`);
        await cache.ready;
        const cached = cache.get(`/${name}`)?.text;
        await cache.close();
        const session = await weir.session({ ttl: '20s' });
        const stat = await session.tree.create(`/${name}/mine`, '', { mode: 'ephemeral' });
        const owner = stat.ephemeralOwner === session.id;
        const held = await client.lock(weir, name).with(({ token, signal }) => token > 0 && !signal.aborted);
        await weir.admin.topics.create({ name });
        const produced = await weir.producer({ topic: name, name }).send({ key: 'k', value: { n: 1 } });
        const consumed: unknown[] = [];
        const consumer = weir.consumer({ group: name, topics: [name], reset: 'earliest' });
        for await (const { records } of consumer) {
          consumed.push(...records.map(({ value }) => value));
          void consumer.close();
        }
        const tailed: unknown[] = [];
        for await (const { value } of weir.tail(name, { from: 'earliest' })) {
          tailed.push(value);
          break;
        }
        await session.end();
        return { node, watched, cached, owner, held, produced, consumed, tailed, ended: session.state };
      } catch (error) {
        return { code: (error as core.WeirError).code ?? String(error) };
      } finally {
        await weir.close();
      }
    },
    name,
    options,
  );
}

const found = findChromium();
if ('missing' in found) t.pass(`not tried on this machine: ${found.missing}`);
else await testInBrowser(t, found.program);

async function testInBrowser(t: Test, program: string): Promise<void> {
  const browser = await startChromium(t, program);
  const files = await bundleClient();
  const origin = await startPageServer(t, files);
  const server = await startTestServer(t, { corsOrigins: [origin] });

  t.test('in a page of the server every part works', async (t) => {
    const page = await openPageOfServer(browser, server.url, files);
    t.same(await useEveryPart(page, 'own', { url: server.url }), everyPart);
    await page.close();
  });

  t.test('in a page of another origin every part works, with a token, over WebSockets and without them', async (t) => {
    const policy = await writePolicy(t, ['page'], 'allow:\n  - { who: page, admin: true }\n');
    const guarded = await startTestServer(t, { corsOrigins: [origin], accessFile: policy.file });
    const page = await openPage(browser, origin);
    const options = { url: guarded.url, token: policy.tokens.page!.token };
    t.same(await useEveryPart(page, 'sockets', options), everyPart);
    t.same(await useEveryPart(page, 'requests', { ...options, webSocket: null }), everyPart);
    t.match(await useEveryPart(page, 'refused', { ...options, token: 'weir_wrong' }), { code: 'AUTH_REQUIRED' });
    await page.close();
  });

  t.test('a page of an origin that the server does not know gets nothing', async (t) => {
    const stranger = await startPageServer(t, files);
    const page = await openPage(browser, stranger);
    const code = await page.evaluate(async (url) => {
      const weir = new client.Weir({ url, retry: { for: '300ms', minDelay: 10 } });
      return weir.tree.create('/stranger').then(
        () => 'created',
        (error: core.WeirError) => error.code,
      );
    }, server.url);
    t.equal(code, 'FORBIDDEN');
    t.equal((await http(`${server.url}/v1/nodes/stranger`)).status, 404);
    await page.close();
  });

  t.test('writes take effect once, and records are appended once, over lost connections', async (t) => {
    const network = await startFaultyNetwork(t, server.url);
    await startClient(t, server.url).admin.topics.create({ name: 'cut' });
    const page = await openPage(browser, origin);
    const work = page.evaluate(async (url) => {
      const weir = new client.Weir({ url, retry: { minDelay: 10, maxDelay: 200 } });
      await weir.tree.create('/cut');
      const producer = weir.producer({ topic: 'cut', name: 'page', linger: 0 });
      const consumer = weir.consumer({ group: 'cut', topics: ['cut'], reset: 'earliest' });
      const seen: unknown[] = [];
      const reading = consumer.run({
        eachRecord: ({ value }) => {
          if (seen.push(value) === 400) void consumer.close();
        },
      });
      for (let round = 0; round < 20; round += 1) {
        const nodes = Array.from({ length: 20 }, () => weir.tree.createSequential('/cut/n-'));
        const records = Array.from({ length: 20 }, (_, n) => producer.send({ value: round * 20 + n }));
        await Promise.all([...nodes, ...records]);
      }
      await reading;
      await weir.close();
      return seen;
    }, network.url);
    const created = async () => (await http(`${server.url}/v1/nodes/cut?view=stat`)).body.stat?.numChildren ?? 0;
    for (const share of [20, 100, 200, 300]) {
      await eventually(async () => (await created()) >= share, `${share} nodes`);
      network.cut();
    }
    t.same(
      ((await work) as number[]).sort((a, b) => a - b),
      Array.from({ length: 400 }, (_, n) => n),
      'each is read once',
    );
    t.equal(await created(), 400);
    const records = await take(startClient(t, server.url).tail('cut', { from: 'earliest' }), 400);
    t.same(
      records.map(({ value }) => value),
      Array.from({ length: 400 }, (_, n) => n),
    );
    await page.close();
  });

  t.test('a lock has one holder at a time over a network that cuts, delays and duplicates', async (t) => {
    const network = await startHostileNetwork(t, server.url, randomOf(7).next);
    const pages = [await openPage(browser, origin), await openPage(browser, origin)];
    const held = await Promise.all(
      pages.map((page) =>
        page.evaluate(async (url) => {
          const weir = new client.Weir({ url, retry: { for: '60s', minDelay: 5, maxDelay: 100 } });
          const times: [token: number, from: number, to: number][] = [];
          for (let n = 0; n < 5; n += 1) {
            await client.lock(weir, 'shared').with(async ({ token }) => {
              const from = Date.now();
              await weir.tree.set('/last', String(token), { create: true });
              times.push([token, from, Date.now()]);
            });
          }
          await weir.close();
          return times;
        }, network.url),
      ),
    );
    const all = held.flat().sort(([a], [b]) => a - b);
    t.equal(all.length, 10);
    t.same(
      all.filter(([, from], at) => at > 0 && from < all[at - 1]![2]),
      [],
      'each begins when the one before it has ended',
    );
    for (const page of pages) await page.close();
  });

  t.test('a tab that loads its page again is the same member of a group, and another tab is another one', async (t) => {
    const page = await openPage(browser, origin);
    const join = (page: Page) =>
      page.evaluate(async (url) => {
        const consumer = new client.Weir({ url }).consumer({ group: 'tabs', topics: ['tabs'] });
        await new Promise((resolve) => consumer.on('assigned', resolve));
        return (globalThis as any).sessionStorage.getItem('weir-member:tabs');
      }, server.url);
    const members = async () =>
      (await http(`${server.url}/v1/groups/tabs`)).body.members.map(({ memberId }: { memberId: string }) => memberId);
    const id = await join(page);
    t.same(await members(), [id]);
    await page.reload();
    await loaded(page);
    t.equal(await join(page), id);
    t.same(await members(), [id]);
    const other = await openPage(browser, origin);
    const otherId = await join(other);
    t.not(otherId, id);
    t.same(((await members()) as string[]).sort(), [id, otherId].sort());
    for (const each of [page, other]) await each.close();
  });

  t.test('a frozen tab whose session has ended does nothing more as the holder of a lock', async (t) => {
    const network = await startFaultyNetwork(t, server.url);
    const weir = startClient(t, server.url);
    await weir.admin.topics.create({ name: 'frozen' });
    const page = await openPage(browser, origin);
    const cdp = await page.createCDPSession();
    await page.evaluate(async (url) => {
      const weir = new client.Weir({ url, sessionTtl: '1500ms', retry: { minDelay: 10, maxDelay: 100 } });
      const session = await weir.ownSession();
      const { signal, token } = await client.lock(session, 'frozen').acquire();
      const states: string[] = [];
      session.onState((state) => states.push(state));
      (globalThis as any).kept = { weir, session, signal, token, states, steps: [] };
      // Work of the holder, which looks at the signal before each step.
      const timer = setInterval(() => {
        if (kept.signal.aborted) clearInterval(timer);
        else kept.steps.push(performance.now());
      }, 5);
    }, network.url);
    await page.waitForFunction('kept.steps.length > 3');
    await cdp.send('Page.setWebLifecycleState', { state: 'frozen' });
    network.block();
    const next = await lock(weir, 'frozen').acquire();
    t.ok(next.token > 0, 'the next holder has the lock');
    await weir.producer({ topic: 'frozen', fence: `frozen=${next.token}` }).send({ value: 'next' });
    await cdp.send('Page.setWebLifecycleState', { state: 'active' });
    await page.waitForFunction('kept.signal.aborted');
    const after = await page.evaluate(() => ({
      // It stood still for longer than the time to live.
      steps: kept.steps.filter((time: number) => time > kept.steps[0] + 1500).length,
      state: kept.session.state,
      states: kept.states,
      reason: kept.signal.reason.code,
    }));
    t.match(after, { steps: 0, state: /suspended|lost/, reason: 'SESSION_EXPIRED' });
    const refused = await page.evaluate(async (url) => {
      const direct = new client.Weir({ url });
      const producer = direct.producer({ topic: 'frozen', fence: `frozen=${kept.token}` });
      const error = await producer.send({ value: 'late' }).catch((error: core.WeirError) => error);
      await direct.close();
      return (error as core.WeirError).code;
    }, server.url);
    t.equal(refused, 'FENCED');
    await next.release();
    await page.close();
  });

  t.test(
    'a tab whose timers are late is told that its session may have ended before it does anything more',
    async (t) => {
      const network = await startFaultyNetwork(t, server.url);
      const weir = startClient(t, server.url);
      const page = await openPage(browser, origin);
      await page.evaluate(async (url) => {
        const weir = new client.Weir({ url, sessionTtl: '1500ms' });
        const session = await weir.ownSession();
        const { setTimeout: soon, setInterval: often } = globalThis;
        // As in a tab that has been hidden for some minutes.
        Object.assign(globalThis, {
          setTimeout: (work: () => void, ms: number) => soon(work, ms + 60_000),
          setInterval: (work: () => void, ms: number) => often(work, ms + 60_000),
        });
        const { signal } = await client.lock(session, 'hidden').acquire();
        (globalThis as any).kept = { weir, session, signal };
      }, network.url);
      network.block();
      const next = await lock(weir, 'hidden').acquire();
      const seen = await page.evaluate(() => {
        const { document } = globalThis as any;
        document.dispatchEvent(new Event('visibilitychange'));
        return { aborted: kept.signal.aborted, state: kept.session.state };
      });
      t.match(seen, { aborted: true, state: /suspended|lost/ });
      await next.release();
      await page.close();
    },
  );

  t.test('a tab that is frozen with a live connection learns what became of its session', async (t) => {
    const page = await openPage(browser, origin);
    const cdp = await page.createCDPSession();
    const { id, handle } = await page.evaluate(async (url) => {
      const weir = new client.Weir({ url, sessionTtl: '1500ms', retry: { minDelay: 10, maxDelay: 100 } });
      const session = await weir.ownSession();
      const { signal } = await client.lock(session, 'thawed').acquire();
      (globalThis as any).kept = { weir, session, signal };
      return { id: session.id, handle: session.handle };
    }, server.url);
    const expiry = async () => {
      const { sessions } = (await http(`${server.url}/v1/sessions`)).body;
      return sessions.find((session: { id: string }) => session.id === id)?.expiresAt ?? Number.POSITIVE_INFINITY;
    };
    const first = await expiry();
    await cdp.send('Page.setWebLifecycleState', { state: 'frozen' });
    // The browser itself may respond to the pings of the server meanwhile.
    await eventually(async () => (await expiry()) > first + 1500, 'the time to live passes, or the session is gone');
    await cdp.send('Page.setWebLifecycleState', { state: 'active' });
    await page.waitForFunction('kept.signal.aborted');
    await page.waitForFunction("kept.session.state !== 'suspended'");
    const state = await page.evaluate(() => kept.session.state);
    const isAlive =
      (await http(`${server.url}/v1/sessions/self`, 'GET', undefined, { 'weir-session': handle })).status === 200;
    t.equal(state, isAlive ? 'connected' : 'lost', 'it says what is so');
    await page.close();
  });
}
