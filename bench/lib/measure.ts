// Statistics over several rounds, and how they are printed.

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The percentile of the values at `share`, 0 to 1. */
export function percentile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

/** The median and the largest of some times, as `p50 / worst`; an empty text if there are none. */
export function both(values: number[]): string {
  return values.length === 0 ? '' : `${shown(median(values))} / ${shown(Math.max(...values))}`;
}

/** A number as text, rounded to three digits: a noisy machine gives no more precision. */
export function shown(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString('en');
  return value.toFixed(size >= 10 ? 1 : 2);
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** A Markdown table; the first column is text, the others are numbers. */
export function table(title: string, head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, column) => (column === 0 ? '---' : '--:'));
  return [`### ${title}`, '', line(head), line(rule), ...rows.map(line), ''].join('\n');
}
