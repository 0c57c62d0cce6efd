// Numbers, times and sizes, as people read them.

const sizes = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** A size in its largest unit, such as `1.5 MiB`. */
export function sizeText(bytes: number): string {
  let at = 0;
  let value = bytes;
  while (value >= 1024 && at < sizes.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${sizes[at]}`;
}

/** A number with separators of thousands. */
export function countText(count: number): string {
  return count.toLocaleString('en-US');
}

const spans: readonly (readonly [unit: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
];

/** A span of time in its two largest units, such as `2h 5m`. */
export function spanText(ms: number): string {
  const at = spans.findIndex(([, size]) => ms >= size);
  const [first, second] = [spans[at], spans[at + 1]];
  if (!first) return `${Math.max(0, Math.round(ms))}ms`;
  const rest = second ? Math.floor((ms % first[1]) / second[1]) : 0;
  return `${Math.floor(ms / first[1])}${first[0]}${second && rest > 0 ? ` ${rest}${second[0]}` : ''}`;
}

/** A moment in UTC, such as `2026-11-30 12:00:00`. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
}
