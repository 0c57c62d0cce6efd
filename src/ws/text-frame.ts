// Encodes a message as the text frame of a WebSocket (RFC 6455, 5.2), in one buffer that is ready to be written. So a message for thousands
// of sockets is encoded once, and is one buffer for each write; the WebSocket library would encode it for each socket, as two.

const finalText = 0x81;
/** Lengths beyond these need 2 and 8 bytes more in the header. */
const shortLengthMax = 125;
const mediumLengthMax = 0xffff;
const mediumLength = 126;
const longLength = 127;

/** @param json the message, perhaps as bytes. @returns the whole frame, unmasked as all frames of a server; not to be changed */
export function textFrame(json: string | Buffer): Buffer {
  const length = Buffer.byteLength(json);
  const start = length <= shortLengthMax ? 2 : length <= mediumLengthMax ? 4 : 10;
  const frame = Buffer.allocUnsafe(start + length);
  frame[0] = finalText;
  if (start === 2) {
    frame[1] = length;
  } else if (start === 4) {
    frame[1] = mediumLength;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = longLength;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  if (typeof json === 'string') frame.write(json, start);
  else json.copy(frame, start);
  return frame;
}
