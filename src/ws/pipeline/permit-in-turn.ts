// Requests of a socket are carried out with a permit of admission control; large ones wait for their turn on the event loop besides.
import type { Permit, PipelineParts } from './pipeline-parts.ts';

/**
 * Calls `begin` with a permit, at once or later; the wait has no limit of time.
 * @param work the bytes are those of the frames of the requests
 * @returns a function that gives up the wait; undefined if there is none
 */
export function permitInTurn(
  { permits, turns }: Pick<PipelineParts, 'permits' | 'turns'>,
  client: string,
  { bytes, ...work }: { weight: number; requests: number; bytes: number },
  begin: (permit: Permit) => void,
): (() => void) | undefined {
  let leave: (() => void) | undefined;
  const leavePermits = permits.enter(client, work, (permit) => {
    const leaveTurn = turns.goOn(client, bytes, () => begin(permit));
    if (!leaveTurn) return;
    leave = () => {
      leaveTurn();
      permit.release();
    };
  });
  leave ??= leavePermits;
  return leave && (() => leave?.());
}
