// Reads server-sent events from a response. It takes the next piece when the last one was dealt with, so a slow reader slows the
// server down, and nothing piles up here.

export interface ServerSentEvent {
  id: string;
  event: string;
  data: string;
}

/** A stream that is silent for so long is dead: the server sends something at least every 10 s. */
const silenceMsMax = 30_000;
/** One message holds one transaction, or the records of one piece; the server has limits far below this. */
const messageMax = 64 * 1024 * 1024;

/** The messages of a response. Ends with it; throws what `fetch` does when the connection breaks, or is silent for too long. */
export async function* serverSentEvents(response: Response): AsyncGenerator<ServerSentEvent, void, undefined> {
  const reader = response.body?.getReader();
  if (!reader) return;
  const decoder = new TextDecoder();
  let text = '';
  let message: ServerSentEvent = { id: '', event: 'message', data: '' };
  try {
    for (;;) {
      const { done, value } = await readWithin(reader, silenceMsMax);
      if (done) return;
      const piece = decoder.decode(value, { stream: true });
      text += piece;
      if (text.length > messageMax) throw new Error(`A server-sent event has more than ${messageMax} characters.`);
      if (!/[\r\n]/.test(piece)) continue;
      const lines = text.split(/\r\n|[\r\n]/);
      text = lines.pop() ?? '';
      for (const line of lines) {
        if (line === '') {
          if (message.data !== '') yield { ...message, data: message.data.slice(0, -1) };
          message = { id: message.id, event: 'message', data: '' };
          continue;
        }
        const [, name = '', content = ''] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
        if (name === 'data') message.data += `${content}\n`;
        else if (name === 'id' || name === 'event') message[name] = content;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

async function readWithin(reader: ReadableStreamDefaultReader<Uint8Array>, ms: number) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`The stream was silent for ${ms} ms.`)), ms);
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } finally {
    clearTimeout(timer);
  }
}
