// Which requests of pages of other sites are refused, route by route: the list is that of the server, so a new route is asked, too.
import t from 'tap';
import { collectRoutes } from '../../helpers/route-list.ts';
import { http, startTestServer } from '../../helpers/server.ts';

const routesOf = collectRoutes();
const { url: origin } = await startTestServer(t, { kafkaRest: true });
const routes = routesOf();

/** A URL of the route, for things that do not exist. */
const urlOf = (pattern: string) => origin + pattern.replace(/:\w+/g, '0').replace('*', 'none');

const refusal = /has an effect, so a page of another origin cannot load it \(Sec-Fetch-Site: (cross|same)-site\)/;
const isRefused = async (method: string, pattern: string, site: string) => {
  const { status, body } = await http(urlOf(pattern), method, undefined, { 'Sec-Fetch-Site': site });
  // The Kafka REST dialect has another member for it.
  return status === 403 && refusal.test(body.detail ?? body.message);
};

t.test('every request that changes something is refused to pages of other sites, also by GET', async (t) => {
  const changing = routes.filter(({ method, hasEffect }) => hasEffect || !['GET', 'HEAD', 'OPTIONS'].includes(method));
  t.ok(
    changing.some(({ method }) => method === 'GET'),
    'there are GETs that change something',
  );
  for (const { method, url } of changing) {
    for (const site of ['cross-site', 'same-site'])
      t.ok(await isRefused(method, url, site), `${method} ${url} ${site}`);
    for (const site of ['same-origin', 'none']) t.notOk(await isRefused(method, url, site), `${method} ${url} ${site}`);
  }
});

t.test('consume calls are the GETs that change something', async (t) => {
  const urls = routes.filter(({ method, hasEffect }) => method === 'GET' && hasEffect).map(({ url }) => url);
  t.same(urls.toSorted(), [
    '/consumers/:group/instances/:instance/records',
    '/v1/groups/:group/members/:member/records',
  ]);
});
