// A requested failover. Redis gives up a failover that does not complete in a few seconds, as on a busy machine. Nothing has
// changed then, so the request is repeated.

const triesMax = 5;

/** @param ask requests the failover @param isDone waits until it is complete, for longer than Redis keeps trying */
export async function requestFailover(ask: () => Promise<unknown>, isDone: () => Promise<unknown>): Promise<void> {
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
