// Numbers, sizes and times as people read them.

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hour12: false,
});
const date = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium', hour12: false });

export const nothing = '–';

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? nothing : whole.format(value);
}

/** 12.3K. */
export function compact(value: number | null | undefined): string {
  return value === null || value === undefined ? nothing : short.format(value);
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return nothing;
  let [size, unit] = [value, 0];
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? whole.format(size) : size.toFixed(1)} ${units[unit]}`;
}

export function millis(value: number | null | undefined): string {
  if (value === null || value === undefined) return nothing;
  if (value < 10) return `${value.toFixed(1)} ms`;
  return value < 1000 ? `${whole.format(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

const steps: readonly [ms: number, unit: string][] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1000, 's'],
];

/** A length of time in its largest unit: 3 min, 12 d. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return nothing;
  const [size, unit] = steps.find(([size]) => Math.abs(ms) >= size) ?? [1, 'ms'];
  return `${whole.format(Math.floor(ms / size))} ${unit}`;
}

export function ago(at: number): string {
  const ms = Date.now() - at;
  return ms < 1500 ? 'just now' : `${duration(ms)} ago`;
}

export function timeOfDay(at: number): string {
  return clock.format(at);
}

export function dateAndTime(at: number): string {
  return date.format(at);
}

/** 1 node, 2 nodes. */
export function counted(value: number, noun: string): string {
  return `${whole.format(value)} ${noun}${value === 1 ? '' : 's'}`;
}
