// Many long polls that one change wakes: each takes a permit again, in turn with the requests of others.
import t from 'tap';
import { defaultLimits } from '../../../src/app.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const { admission, timeouts } = defaultLimits;

t.test(
  'long polls that one change wakes all get their responses, however few permits there are, and others meanwhile',
  async (t) => {
    const server = await startTestServer(t, {}, undefined, {
      admission: { ...admission, requestsMax: 2, requestWaitMsMax: 60_000 },
      timeouts,
    });
    const metric = async (name: string) => {
      const text = (await http(`${server.url}/metrics`)).body as string;
      return Number(new RegExp(`^weir_${name} (\\d+)`, 'm').exec(text)?.[1]);
    };
    const url = `${server.url}/v1/nodes/herd`;
    await http(url, 'PUT', 'before');
    const etag = (await http(url)).headers.get('etag')!;
    const polls = Array.from({ length: 300 }, () =>
      http(`${url}?wait=60s`, 'GET', undefined, { 'if-none-match': etag }),
    );
    await eventually(
      async () =>
        (await metric('requests_in_flight{kind="waits"}')) === 300 &&
        (await metric('requests_waiting{kind="requests"}')) === 0,
      'all wait',
    );
    const change = await http(url, 'PUT', 'after');
    const others = await Promise.all(Array.from({ length: 20 }, () => http(`${server.url}/v1/nodes/?view=stat`)));
    t.same([...new Set([change, ...others].map(({ status }) => status))], [200]);
    const responses = await Promise.all(polls);
    t.same([...new Set(responses.map(({ status, body }) => `${status} ${body}`))], ['200 after']);
    t.equal(await metric('admission_weight{kind="requests"}'), 0, 'each permit is given back');
  },
);
