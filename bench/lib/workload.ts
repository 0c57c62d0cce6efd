// The nodes that all parts of the tree benchmark write and read, so that their numbers can be compared.

const nodeDataBytes = 100;
export const nodeData = 'weirkeeper '.repeat(10).slice(0, nodeDataBytes);

export const secondsDefault = 200;

/** The size of a run. The default run takes a little less than its `seconds`. */
export interface Scale {
  /** How often alternating rounds are repeated. */
  rounds: number;
  roundMs: number;
  /** Nodes of the largest tree. */
  nodes: number;
  /** Numbers of sockets in the fan-out, ascending. */
  sockets: number[];
  /** Sockets whose memory is measured. */
  socketsWeighed: number;
  /** Events sent to each number of sockets. */
  events: number;
  /** The folder for CPU profiles of the server, one for each part; undefined = no profiles. */
  profiles: string | undefined;
}

export function scaleOf(seconds: number, profiles: string | undefined): Scale {
  const share = seconds / secondsDefault;
  return {
    rounds: Math.max(2, Math.round(6 * share)),
    roundMs: Math.min(300, Math.max(100, Math.round(300 * share))),
    nodes: share < 0.5 ? 20_000 : 1_000_000,
    sockets: [1, 1000, 5000],
    socketsWeighed: share < 0.5 ? 2000 : 5000,
    events: Math.max(20, Math.round(40 * share)),
    profiles,
  };
}
