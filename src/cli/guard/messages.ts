// What `weir` and the guard of a command tell each other. Times are ms on the monotonic clock of the machine, which both read.

/** How long a command may run on: `weir` tells each new deadline. */
export interface Lease {
  /** Until then the session certainly lives. */
  deadlineMs: number;
  /** From SIGTERM to SIGKILL. */
  graceMs: number;
  /** From SIGKILL to the deadline. */
  marginMs: number;
}

export type ToGuard =
  | {
      type: 'run';
      command: string;
      args: string[];
      env: { [name: string]: string };
      /** What the command reads on its standard input, base64; without it, that of `weir`. */
      input?: string;
      /** Absent: the command may run for as long as `weir` does. */
      lease?: Lease;
    }
  | { type: 'renewed'; deadlineMs: number }
  /** The session has ended: somebody else may hold what it held already. */
  | { type: 'lost' }
  /** `weir` shall end. */
  | { type: 'stop' }
  | { type: 'signal'; signal: NodeJS.Signals };

/** Why a command was stopped: its time was over, its session has ended, `weir` was to end, or is gone. */
export type StopReason = 'deadline' | 'lost' | 'ended' | 'orphaned';

export type FromGuard =
  /** It listens. */
  | { type: 'ready' }
  | { type: 'started'; pid: number }
  | { type: 'failed'; code: string }
  /** It stops the command. */
  | { type: 'stops'; reason: StopReason }
  | { type: 'ended'; code: number | null; signal: NodeJS.Signals | null; stopped: StopReason | undefined };
