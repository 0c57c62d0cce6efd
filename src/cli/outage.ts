// Tells a user whose command goes on what becomes of its connection: that it was lost, from time to time that no server responds yet,
// and that it is there again.
import type { ClientEvent } from '@weirkeeper/client';

/** The pause between two lines of one outage, ms. */
const tellAgainMs = 10_000;

export class Outage {
  readonly #note: (text: string) => void;
  #isOn = false;
  #toldAt = 0;

  /** @param note prints a line that is not the result */
  constructor(note: (text: string) => void) {
    this.#note = note;
  }

  /** What the client tells of its connections. */
  hear(event: ClientEvent): void {
    // What was closed in order is not lost: a member has left (1000), or the server has refused it and says why.
    if (event.type === 'disconnected' && /^(1000|44(?!08|29)\d\d)\b/.test(event.reason)) return;
    if (event.type === 'disconnected' || event.type === 'retry') this.began(event.url, event.reason);
    else if (event.type === 'connected') this.ended(event.url);
  }

  began(url: string, reason: string): void {
    const now = performance.now();
    const why = reason.replace(/^UNREACHABLE: /, '').trim();
    if (!this.#isOn) this.#note(`The connection to ${url} was lost (${why}). Connecting again …`);
    else if (now - this.#toldAt > tellAgainMs)
      this.#note(`No server responds yet; the last one tried is ${url} (${why}).`);
    else return;
    this.#isOn = true;
    this.#toldAt = now;
  }

  ended(url?: string): void {
    if (this.#isOn) this.#note(`Connected again${url === undefined ? '' : `, to ${url}`}.`);
    this.#isOn = false;
  }
}
