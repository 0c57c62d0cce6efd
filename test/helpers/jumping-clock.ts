// Loaded into a server process first (`node --import`): at each SIGWINCH the clock of the process jumps, as when it is set by
// hand or by a bad time server. The server does not use that signal. Timers and performance.now() are not affected, as in reality.

const hourMs = 3_600_000;
const jumpsMs = [hourMs, -3 * hourMs, 400 * 24 * hourMs, -800 * 24 * hourMs, 500];

const RealDate = Date;
let shiftMs = 0;
let jumps = 0;

class JumpingDate extends RealDate {
  constructor(...args: [] | [number]) {
    if (args.length === 0) super(JumpingDate.now());
    else super(...args);
  }

  static override now(): number {
    return RealDate.now() + shiftMs;
  }
}

globalThis.Date = JumpingDate as DateConstructor;
process.on('SIGWINCH', () => {
  shiftMs += jumpsMs[jumps % jumpsMs.length]!;
  jumps += 1;
});
