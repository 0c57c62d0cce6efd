// Buffers the results of an NDJSON stream until its body has been read. Some clients read nothing before they have sent everything, and
// nginx stops forwarding a body once the head of the response has arrived. Without the buffer both sides would wait for each other.
import type { ConnectionLimits } from './limits.ts';

export class HeldResults {
  readonly #limits: ConnectionLimits['heldResults'];
  #bytes = 0;

  constructor(limits: ConnectionLimits['heldResults']) {
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Yields the same lines: joined in one text at the end or when a limit is reached, and each as it comes after that.
   * @throws the error of `lines`
   */
  async *hold(lines: AsyncGenerator<string>): AsyncGenerator<string> {
    let held: string[] = [];
    let heldBytes = 0;
    const letGo = () => {
      this.#bytes -= heldBytes;
      heldBytes = 0;
      const text = held.join('');
      held = [];
      return text;
    };
    try {
      let isHolding = true;
      for await (const line of lines) {
        if (!isHolding) {
          yield line;
          continue;
        }
        held.push(line);
        heldBytes += line.length;
        this.#bytes += line.length;
        if (heldBytes <= this.#limits.streamBytesMax && this.#bytes <= this.#limits.bytesMax) continue;
        isHolding = false;
        yield letGo();
      }
      if (held.length > 0) yield letGo();
    } finally {
      letGo();
    }
  }
}
