// Measures offset commits per second, compared with writes of a node: a commit writes a node and also checks the member.
import { WebSocket } from 'ws';
import { memberHeader } from '../../testbed/member-secrets.ts';
import type { GroupSite } from '../lib/group-site.ts';
import { HttpLoad, requestBytes } from '../lib/http-load.ts';
import { median, percent, shown, table } from '../lib/measure.ts';

const json = { 'content-type': 'application/json' };

export async function measureCommits(site: GroupSite): Promise<string[]> {
  await site.createTopic('commits', 1);
  await site.ask('POST', '/v1/groups/commits/members', { topics: ['commits'], memberId: 'm', sessionTimeout: '10m' });
  await site.ask('PUT', '/v1/nodes/reference', 'x');
  const headers = { ...json, ...memberHeader('/v1/groups/commits/members/m') };
  let offset = 0;
  const commit = () =>
    JSON.stringify({ memberId: 'm', offsets: [{ topic: 'commits', partition: 0, offset: ++offset }] });
  const requests = {
    set: () => requestBytes('PUT', '/v1/nodes/reference', 'x', { 'content-type': 'text/plain' }),
    commit: () => requestBytes('POST', '/v1/groups/commits/offsets', commit(), headers),
  };
  const ms = site.scale.quick ? 300 : 1000;
  const rows: string[][] = [];
  for (const connections of [1, 64]) {
    const load = await HttpLoad.open(site.server.url, connections);
    const rates: Record<keyof typeof requests, number[]> = { set: [], commit: [] };
    for (let round = 0; round < site.scale.rounds; round += 1) {
      for (const kind of ['set', 'commit'] as const) rates[kind].push((await load.run(requests[kind], ms)).perSecond);
    }
    load.close();
    const [set, made] = [median(rates.set), median(rates.commit)];
    rows.push([`HTTP, ${connections} connections`, shown(made), shown(set), percent(made / set)]);
  }
  const perSecond = await onSocket(site, ms);
  rows.push(['one socket, 100 in flight', shown(perSecond), '', '']);
  return [table('Commits of one offset', ['', 'commits/s', 'writes of a node/s', 'of that'], rows)];
}

/** Commits on a socket, with 100 in flight all the time. */
async function onSocket(site: GroupSite, ms: number): Promise<number> {
  const { ws } = await site.join('commits-socket', 'commits', '&memberId=m');
  let [sent, completed] = [0, 0];
  const startedAt = performance.now();
  const until = startedAt + ms;
  const send = () => {
    sent += 1;
    ws.send(JSON.stringify({ type: 'commit', offsets: [{ topic: 'commits', partition: 0, offset: sent }] }));
  };
  await new Promise<void>((resolve) => {
    ws.on('message', (data: Buffer) => {
      if (!data.toString('latin1', 0, 20).startsWith('{"type":"committed"')) return;
      completed += 1;
      if (performance.now() < until && ws.readyState === WebSocket.OPEN) send();
      else if (completed === sent) resolve();
    });
    for (let i = 0; i < 100; i += 1) send();
  });
  const perSecond = (completed * 1000) / (performance.now() - startedAt);
  ws.close(1000);
  return perSecond;
}
