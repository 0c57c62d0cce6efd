// Results of an NDJSON stream that are buffered until its body has been read. Some clients read nothing before they have sent everything,
// and nginx stops passing a body on when the head of its response has come: then neither side would go on.
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

  /** The same lines: in one piece when there are no more, or as they come from a limit on. @throws what `lines` throws */
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
