// Checks of a proxy with the configuration of examples/proxies, unchanged and with compression:
// `npm run test:proxies`. WEIR_PROXY_SECONDS says for how long connections are idle: the time-outs of proxies are 60 s by default,
// so it is 90 there.
import type { Test } from 'tap';
import { temporaryFolder } from '../../testbed/scope.ts';
import { startServerProcess } from '../helpers/process.ts';
import { http } from '../helpers/server.ts';
import { checkBodies } from './proxy-bodies.ts';
import { checkIdleConnections } from './proxy-idle.ts';
import { findProxy, startProxy } from './proxy-process.ts';
import type { Edit, ProxyProgram } from './proxy-programs.ts';
import { checkRequests } from './proxy-requests.ts';

export interface Through {
  program: ProxyProgram;
  compression: boolean;
  /** A broker through the proxy, and directly. */
  url: string;
  brokerUrl: string;
}

const idleSeconds = Number(process.env.WEIR_PROXY_SECONDS ?? 3);

/** Runs all checks through one proxy, or reports that it is not installed. @param more checks of this proxy only */
export async function testProxy(
  t: Test,
  program: ProxyProgram,
  more: (t: Test, start: (t: Test, edits: Edit[]) => Promise<Through>) => Promise<void> = async () => {},
): Promise<void> {
  const command = await findProxy(program);
  if (command === undefined) {
    const how = `sudo apt-get install --no-install-recommends ${program.debianPackage}`;
    t.pass(`not tried: ${program.command} is not on the PATH; ${how}`);
    return;
  }
  const { url: brokerUrl } = await startServerProcess(t, {
    WEIR_DATA_DIR: temporaryFolder(t),
    WEIR_APPENDFSYNC: 'no',
    WEIR_TRUST_PROXY: '127.0.0.1',
  });
  const start = async (t: Test, edits: Edit[]): Promise<Through> => {
    const url = await startProxy(t, program, command, brokerUrl, edits);
    return { program, compression: edits.includes(program.compresses), url, brokerUrl };
  };
  await t.test(`${program.name}, as documented`, async (t) => {
    const through = await start(t, []);
    await checkRequests(t, through);
    await checkBodies(t, through);
    await checkIdleConnections(t, through, idleSeconds);
  });
  await t.test(`${program.name}, with compression`, async (t) => {
    const through = await start(t, [program.compresses]);
    await checkRequests(t, through);
    await checkBodies(t, through);
    await checkIdleConnections(t, through, Math.min(idleSeconds, 3));
  });
  await more(t, start);
}

/** Creates a topic directly at the broker. @returns its name */
export async function newTopic({ brokerUrl }: Through, name: string): Promise<string> {
  await http(`${brokerUrl}/v1/topics/${name}`, 'DELETE');
  const { status } = await http(`${brokerUrl}/v1/topics`, 'POST', { name });
  if (status !== 201) throw new Error(`The topic ${name} cannot be made: ${status}`);
  return `/v1/topics/${name}`;
}
