// A failover that is asked for. Redis gives one up that does not come about in a few seconds, as on a busy machine, and then nothing has
// changed: whoever wants it asks again.

const triesMax = 5;

/** @param ask asks for it @param isDone waits until it has come about, for longer than Redis keeps trying */
export async function handOver(ask: () => Promise<unknown>, isDone: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    await ask();
    try {
      await isDone();
      return;
    } catch (error) {
      if (tries === triesMax) throw error;
    }
  }
}
