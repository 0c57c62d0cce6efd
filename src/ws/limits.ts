// Limits of one socket and of all refused ones. docs/operations.md ("Limits and defaults") lists the numbers.

/** Bytes of the largest frame that a client may send: its frames are small, only what it is sent is large. */
export const socketPayloadBytesMax = 1024 * 1024;

/** Bytes that may wait for a reader beyond the message that it is being sent; a reader with more is closed with 4008, and resumes. */
export const slowReaderBytesMax = 8 * 1024 * 1024;

export const watchesPerSocketMax = 10_000;
export const sessionsPerSocketMax = 100;

/** How many commits and releases of one socket may wait for their turn. */
export const groupFramesWaitingMax = 1000;

/**
 * How many refused sockets are open only to send the client the reason, and for how long, ms. A distant client needs less than a
 * second for the error frame and the close. Beyond that number a socket is refused by an HTTP response.
 */
export const refusedSocketLimits = { openMax: 100, openMsMax: 2000 };

/**
 * After a refused frame, what the client still sends is read and dropped for at most this time, ms, and this many bytes. A reset of
 * the connection instead would lose the close frame.
 */
export const refusedFrameDrain = { ms: 2000, bytes: 32 * 1024 * 1024 };

/** Limits of a pipelined socket (src/ws/pipeline). */
export interface PipelineLimits {
  /**
   * What one socket may have in flight: requests, the operations of these, and the bytes of their frames. Beyond that it is not read,
   * so that the sender has to wait. A single request or frame may be larger. The store keeps the results of as many writes of a session
   * (guarantee S5).
   */
  requestsMax: number;
  operationsMax: number;
  bytesMax: number;
  /**
   * The bytes of nodes and records that one socket may have requested and not received, and all together, as far as they can be known
   * (read-budget.ts).
   */
  readBytesMax: number;
  readBytesOfAllMax: number;
  /** The bytes of frames in flight on all sockets together. */
  bytesOfAllMax: number;
  /** How many requests of a socket are begun in one turn while others wait. */
  requestsPerTurn: number;
  /** How long a response may wait for the event stream to bring the transaction that it reflects, ms. */
  tailLagMsMax: number;
}

export const defaultPipelineLimits: PipelineLimits = {
  requestsMax: 256,
  operationsMax: 8192,
  bytesMax: 4 * 1024 * 1024,
  readBytesMax: 4 * 1024 * 1024,
  readBytesOfAllMax: 8 * 1024 * 1024,
  bytesOfAllMax: 64 * 1024 * 1024,
  requestsPerTurn: 16,
  tailLagMsMax: 2000,
};

/** The bytes of responses that one frame joins; a single response may be larger. */
export const responseFrameBytes = 256 * 1024;
