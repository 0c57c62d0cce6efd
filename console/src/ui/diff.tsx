// What differs between two texts, line by line.

import { indentedJson } from './data-view.tsx';

export interface DiffLine {
  kind: 'same' | 'gone' | 'new';
  text: string;
}

/** Longer texts are compared from both ends only: the full comparison grows with the product of their lines. */
const linesMax = 2000;
const marks = { same: ' ', gone: '−', new: '+' } as const;

export function Diff({ before, after, label }: { before: string; after: string; label: string }) {
  const lines = diffOf(before, after);
  if (lines.every(({ kind }) => kind === 'same')) return <p class="hint">There is no difference.</p>;
  return (
    <section class="diff" aria-label={label} tabIndex={0}>
      {lines.map(({ kind, text }, index) => (
        <div key={`${index} ${kind}`} data-kind={kind}>
          <span aria-hidden="true">{marks[kind]} </span>
          {kind !== 'same' && <span class="visually-hidden">{kind === 'new' ? 'added: ' : 'removed: '}</span>}
          {text}
        </div>
      ))}
    </section>
  );
}

/** A text as it is compared: JSON with a line for each part. */
export function inLines(text: string): string {
  return indentedJson(text) ?? text;
}

/** The lines of both texts in order, those of the longest common subsequence as `same`. */
export function diffOf(before: string, after: string): DiffLine[] {
  const [a, b] = [before.split('\n'), after.split('\n')];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail])
    tail += 1;
  const same = (text: string): DiffLine => ({ kind: 'same', text });
  return [
    ...a.slice(0, head).map(same),
    ...middleOf(a.slice(head, a.length - tail), b.slice(head, b.length - tail)),
    ...a.slice(a.length - tail).map(same),
  ];
}

function middleOf(a: readonly string[], b: readonly string[]): DiffLine[] {
  const gone = (text: string): DiffLine => ({ kind: 'gone', text });
  const added = (text: string): DiffLine => ({ kind: 'new', text });
  if (a.length === 0 || b.length === 0 || a.length * b.length > linesMax * linesMax)
    return [...a.map(gone), ...b.map(added)];
  // lengths[i][j]: of the longest common subsequence of what follows line i of a and line j of b.
  const width = b.length + 1;
  const lengths = new Uint16Array((a.length + 1) * width);
  const at = (i: number, j: number) => lengths[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1)
      lengths[i * width + j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  }
  const lines: DiffLine[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const [mine = '', theirs = ''] = [a[i], b[j]];
    if (i < a.length && j < b.length && mine === theirs) {
      lines.push({ kind: 'same', text: mine });
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1))) {
      lines.push(gone(mine));
      i += 1;
    } else {
      lines.push(added(theirs));
      j += 1;
    }
  }
  return lines;
}
