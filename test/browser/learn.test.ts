// The learner's page, followed as a learner does: each command that it shows is run in a shell, and the page ticks off what the tree
// shows.
import t, { type Test } from 'tap';
import { type ConsolePage, openConsole, startBrowser } from '../helpers/browser.ts';
import { TestCli } from '../helpers/cli.ts';
import { startOnPty } from '../helpers/pty.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

const browser = await startBrowser(t);

/** The command of a step, as the page shows it. */
async function commandOf({ page }: ConsolePage, title: string): Promise<string> {
  const steps = await page.$$eval('.story li', (all) =>
    all.map((step) => [step.querySelector('h3')?.textContent ?? '', step.querySelector('pre')?.textContent ?? '']),
  );
  return steps.find(([heading]) => heading?.includes(title))?.[1] ?? '';
}

const isDone = ({ page }: ConsolePage, title: string) =>
  page.$$eval(
    '.story li[data-state="done"]',
    (all, wanted) => all.some((step) => step.textContent.includes(wanted)),
    title,
  );

const isTicked = (shown: ConsolePage, title: string) =>
  eventually(() => isDone(shown, title), `the step is ticked off: ${title}`);

/** Does what the page says from the topic on to the end of a member. */
async function follow(t: Test, shown: ConsolePage, cli: TestCli): Promise<void> {
  const created = await cli.shell(await commandOf(shown, 'Create a topic'));
  t.equal(created.code, 0, created.stderr);
  await isTicked(shown, 'Create a topic');
  await shown.sees('/lessons');
  const join = await commandOf(shown, 'Let two members join');
  const [one, two] = [cli.startShell(`exec ${join}`), cli.startShell(`exec ${join}`)];
  await isTicked(shown, 'Let two members join');
  const produced = await cli.shell(await commandOf(shown, 'Append records'));
  t.equal(produced.code, 0, produced.stderr);
  await isTicked(shown, 'Append records');
  await eventually(() => /^30$/m.test(one.output.stdout + two.output.stdout), 'a member prints the last record');
  one.child.kill('SIGINT');
  t.equal((await one.exited).code, 0, one.output.stderr);
  await isTicked(shown, 'Stop one member');
  two.child.kill('SIGINT');
  await two.exited;
}

t.test('on a single server everything but the death of a broker can be seen', async (t) => {
  const { url } = await startTestServer(t, { brokerId: 1 });
  const cli = new TestCli(t, 'http://127.0.0.1:1');
  const shown = await openConsole(t, browser, url, { hash: '#/learn' });
  await shown.sees('Controller 1');
  await follow(t, shown, cli);
  t.notOk(await isDone(shown, 'Stop a broker'));
});

t.test('in the cluster of weir demo the controller dies, and another one takes over', async (t) => {
  const cli = new TestCli(t, 'http://127.0.0.1:1');
  const demo = startOnPty(t, ['weir', 'demo', '--cluster'], { ...cli.env, TMPDIR: cli.folder });
  await eventually(() => demo.output().includes('1. Who is there'), 'the brokers run', 120_000);
  const urls = [...demo.output().matchAll(/broker (\d) at (http:\/\/[\d.:]+)/g)].map(([, id, url]) => ({
    id: Number(id),
    url: url ?? '',
  }));
  const { controller } = (await http(`${urls[0]?.url}/v1/cluster`)).body;
  const { url } = urls.find(({ id }) => id !== controller.brokerId) ?? { url: '' };
  const shown = await openConsole(t, browser, url, { hash: '#/learn' });
  await isTicked(shown, 'Start a cluster');
  await follow(t, shown, cli);
  await shown.go('#/learn?topic=lessons');
  const drawn = () => shown.page.$$eval('.drawing svg', ([drawing]) => drawing?.getAttribute('aria-label') ?? '');
  await eventually(async () => (await drawn()).includes('Partition 2 of lessons: led by'), 'the topic is drawn');
  // Return goes on, up to the step that kills the controller.
  for (const step of [1, 2, 3, 4, 5]) {
    await eventually(() => demo.output().includes(`${step}. `), `the demo is at step ${step}`, 120_000);
    demo.type('\r');
  }
  await eventually(
    () => demo.output().includes(`broker ${controller.brokerId} was killed`),
    'the controller is killed',
    120_000,
  );
  await isTicked(shown, 'Stop a broker');
  const alive = urls.map(({ id }) => id).filter((id) => id !== controller.brokerId);
  await eventually(async () => {
    const text = await drawn();
    const leaders = [...text.matchAll(/of lessons: led by (\d), in sync ([\d, ]+)\./g)];
    return (
      text.includes(`Brokers alive: ${alive.join(', ')}.`) &&
      !text.includes(`Broker ${controller.brokerId} is the controller`) &&
      leaders.length === 3 &&
      leaders.every(
        ([, leader, isr = '']) =>
          leader !== String(controller.brokerId) && isr.split(', ').sort().join() === alive.join(),
      )
    );
  }, 'the page shows another controller, other leaders, and the ISR without the dead broker');
  await shown.sees(`epoch ${controller.epoch + 1}`);
  demo.type('\x03');
  await demo.exited;
});
