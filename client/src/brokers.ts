// Which broker is used: one at a time, and the next one when it fails.

export class Brokers {
  readonly #urls: readonly string[];
  #current: number;

  /** @param urls at least one; clients begin at different ones, so that they share the load */
  constructor(urls: readonly string[]) {
    this.#urls = urls;
    this.#current = Math.floor(Math.random() * urls.length);
  }

  get url(): string {
    return this.#urls[this.#current % this.#urls.length] ?? '';
  }

  /** To be called when `url` has failed. Has no effect if another one is used by now. */
  failed(url: string): void {
    if (url === this.url) this.#current += 1;
  }
}
