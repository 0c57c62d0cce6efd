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
