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
 * Sockets that are open only to be told why they are refused, and for how long, ms: a peer far away needs less than a second for the
 * frame and the close. Beyond that number they are refused by an HTTP response.
 */
export const refusedSockets = { openMax: 100, openMsMax: 2000 };

/** How long, ms, and how many bytes of what a peer still sends are read and dropped behind a refused frame: a reset would cost it the close. */
export const refusedFrameDrain = { ms: 2000, bytes: 32 * 1024 * 1024 };
