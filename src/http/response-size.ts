/** Bytes of a response. 0 for a stream: backpressure limits how much of it is in memory. */
export function sizeOf(payload: unknown): number {
  if (typeof payload === 'string') return Buffer.byteLength(payload);
  return ArrayBuffer.isView(payload) ? payload.byteLength : 0;
}
