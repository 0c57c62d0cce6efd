// Measures the time until a change reaches one, 1,000 and 5,000 sockets. The reference is a bare WebSocket server that sends the
// same bytes to as many sockets; both take turns.
import { setTimeout as sleep } from 'node:timers/promises';
import { HttpLoad, requestBytes } from '../lib/http-load.ts';
import { median, percent, percentile, shown, table } from '../lib/measure.ts';
import type { ServerProcess, WeirServer } from '../lib/processes.ts';
import { SocketFleet } from '../lib/sockets.ts';
import { nodeData, type Scale } from '../lib/workload.ts';

const path = '/bench/fan-out';
const watchFrame = JSON.stringify({ type: 'watch', id: 'w', path });
/** Pause before each event, ms, so that the previous one has reached all sockets. */
const pauseMs = 15;
const warmUpDeliveries = 20_000;
/** Whether a frame begins with `{"type":"events"`, so it is no bookmark and no error. */
const isEvents = (message: Buffer) => message[9] === 0x65 && message[10] === 0x76;

/** All times in ms. */
interface Spread {
  toReply: number[];
  lastAfterReply: number[];
  firstAfterRequest: number[];
  lastAfterRequest: number[];
}

const newSpread = (): Spread => ({
  toReply: [],
  lastAfterReply: [],
  firstAfterRequest: [],
  lastAfterRequest: [],
});

/** @returns a Markdown table */
export async function measureFanOut(server: WeirServer, bare: ServerProcess, scale: Scale): Promise<string> {
  const load = await HttpLoad.open(server.url, 1);
  const bareLoad = await HttpLoad.open(bare.url, 1);
  const set = requestBytes('PUT', `/v1/nodes${path}?parents=true`, nodeData);
  await load.send(set);
  const fleet = new SocketFleet(`${server.url}/v1/watch`, isEvents);
  const bareFleet = new SocketFleet(`${bare.url}/sockets`, () => true);
  const broadcast = requestBytes('POST', '/sockets', await eventsFrame(server, load, set));

  const rows: string[][] = [];
  for (const count of scale.sockets) {
    await fleet.grow(count, [watchFrame]);
    await bareFleet.grow(count);
    let spread = newSpread();
    let bareSpread = newSpread();
    const ours = () => tell(fleet, load, set, spread);
    const theirs = () => tell(bareFleet, bareLoad, broadcast, bareSpread);
    for (let i = 0; i < warmUpEvents(count); i++) {
      await ours();
      await theirs();
    }
    spread = newSpread();
    bareSpread = newSpread();
    const [cpuUs, bareCpuUs]: [number[], number[]] = [[], []];
    // With few sockets more events are sent, as each is quick and times vary more.
    const events = count === 1 ? scale.events * 5 : scale.events;
    for (let i = 0; i < events; i++) {
      cpuUs.push((await cpuUsOf(server, ours)) / count);
      bareCpuUs.push((await cpuUsOf(bare, theirs)) / count);
    }
    if (scale.profiles) {
      await server.profiled(`${scale.profiles}/fan-out-${count}.cpuprofile`, async () => {
        for (let i = 0; i < 20; i++) await tell(fleet, load, set, newSpread());
      });
    }
    const both = (values: number[]) => `${shown(median(values))} / ${shown(percentile(values, 0.99))}`;
    const last = median(spread.lastAfterRequest);
    rows.push([
      count.toLocaleString('en'),
      both(spread.toReply),
      both(spread.firstAfterRequest),
      both(spread.lastAfterRequest),
      both(spread.lastAfterReply),
      both(bareSpread.lastAfterRequest),
      percent(median(bareSpread.lastAfterRequest) / last),
      shown((count * 1000) / last),
      shown(median(cpuUs)),
      shown(median(bareCpuUs)),
      percent(median(cpuUs.map((us, index) => us / (bareCpuUs[index] ?? Number.NaN)))),
    ]);
  }
  await fleet.close();
  await bareFleet.close();
  load.close();
  bareLoad.close();
  return table(
    'Watch fan-out: one event to every socket (ms, p50 / p99)',
    [
      'sockets',
      'request to reply',
      'request to first event',
      'request to last event',
      'reply to last event',
      'bare: request to last',
      'speed, of bare',
      'deliveries/s',
      'server CPU µs each',
      'bare CPU µs each',
      'CPU, of bare',
    ],
    rows,
  );
}

/** How many events are sent before the first that counts: after fewer deliveries the code is still being compiled. */
function warmUpEvents(sockets: number): number {
  return Math.max(3, Math.min(100, Math.ceil(warmUpDeliveries / sockets)));
}

/** CPU time that `run` costs a server, µs; not a number if the system does not report it. */
async function cpuUsOf(server: ServerProcess, run: () => Promise<void>): Promise<number> {
  const before = server.cpuUs ?? Number.NaN;
  await run();
  return (server.cpuUs ?? Number.NaN) - before;
}

/** Causes one message, waits until all sockets have it, and pauses. */
async function tell(fleet: SocketFleet, load: HttpLoad, request: Buffer, into: Spread): Promise<void> {
  const arrival = fleet.arrival();
  const sentAt = performance.now();
  const [repliedAt, { firstAt, lastAt }] = await Promise.all([load.send(request), arrival]);
  into.toReply.push(repliedAt - sentAt);
  into.firstAfterRequest.push(firstAt - sentAt);
  into.lastAfterRequest.push(lastAt - sentAt);
  // Negative if an event arrives before the response to the write that caused it.
  into.lastAfterReply.push(lastAt - repliedAt);
  await sleep(pauseMs);
}

/** The bytes that a socket receives, so that the bare server can send the same. */
async function eventsFrame(server: WeirServer, load: HttpLoad, set: Buffer): Promise<string> {
  let frame = '';
  const fleet = new SocketFleet(`${server.url}/v1/watch`, (message) => {
    if (!isEvents(message)) return false;
    frame = message.toString();
    return true;
  });
  await fleet.grow(1, [watchFrame]);
  await tell(fleet, load, set, newSpread());
  await fleet.close();
  return frame;
}
