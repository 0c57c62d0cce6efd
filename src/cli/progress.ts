// A progress bar on stderr, for what takes long: on terminals only, drawn a few times a second.
import type { Cli } from './cli.ts';

const redrawMs = 200;
const barLength = 24;

export class Progress {
  readonly #cli: Cli;
  readonly #unit: (count: number) => string;
  readonly #startedAt = performance.now();
  #drawnAt = 0;
  #isDrawn = false;

  /** @param unit how a count is shown */
  constructor(cli: Cli, unit: (count: number) => string) {
    this.#cli = cli;
    this.#unit = unit;
  }

  /** Shows how far it has come. @param of how much there is in all, if that is known */
  show(done: number, of?: number, note = ''): void {
    const now = performance.now();
    if (!this.#cli.out.isProgressVisible || now - this.#drawnAt < redrawMs) return;
    this.#drawnAt = now;
    this.#isDrawn = true;
    const perSec = this.#unit(Math.round((done / (now - this.#startedAt)) * 1000));
    const share = of === undefined || of === 0 ? undefined : Math.min(1, done / of);
    const filled = Math.round((share ?? 0) * barLength);
    const bar =
      share === undefined ? '' : `${'█'.repeat(filled)}${'░'.repeat(barLength - filled)} ${Math.floor(share * 100)}% `;
    const total = of === undefined ? '' : ` of ${this.#unit(of)}`;
    this.#cli.out.progress(`\r\u001b[K${bar}${this.#unit(done)}${total}, ${perSec}/s${note === '' ? '' : `, ${note}`}`);
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#isDrawn) this.#cli.out.progress('\r\u001b[K');
    this.#isDrawn = false;
  }
}
