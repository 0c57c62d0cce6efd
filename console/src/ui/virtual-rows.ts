// Rows of one height, of which only those in view are in the document. Each row has its index in `data-row`.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

/** What surrounds the rows, and where they are. */
interface RowsPlace {
  count: number;
  rowPx: number;
  /** Rows above and below the view that are in the document, too. */
  overscan: number;
  /** Rows that the head takes, which stays in view. */
  headRows: number;
}

/**
 * Follows which rows are in view.
 * @returns `frame` is for the element that scrolls, as is `onScroll`; rows from `first` up to `last`, without it, belong in the
 * document; `reveal` scrolls to a row, `focus` focuses it once it is in the document, and `moves` are what the keys do that go from
 * the row at an index to another
 */
export function useVirtualRows({ count, rowPx, overscan, headRows }: RowsPlace) {
  const frame = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const look = (element: HTMLElement) => setView({ top: element.scrollTop, height: element.clientHeight });

  useLayoutEffect(() => {
    const element = frame.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(() => look(element));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const reveal = (index: number) => {
    const element = frame.current;
    if (!element) return;
    const [top, bottom] = [index * rowPx, (index + 1 + headRows) * rowPx];
    if (top < element.scrollTop) element.scrollTop = top;
    else if (bottom > element.scrollTop + element.clientHeight) element.scrollTop = bottom - element.clientHeight;
  };
  const focus = (index: number) => {
    requestAnimationFrame(() => frame.current?.querySelector<HTMLElement>(`[data-row="${index}"]`)?.focus());
  };
  const moves = (index: number, moveTo: (target: number) => void): Record<string, () => void> => {
    const page = Math.max(1, Math.floor(view.height / rowPx) - 1 - headRows);
    return {
      ArrowDown: () => moveTo(index + 1),
      j: () => moveTo(index + 1),
      ArrowUp: () => moveTo(index - 1),
      k: () => moveTo(index - 1),
      PageDown: () => moveTo(index + page),
      PageUp: () => moveTo(index - page),
      Home: () => moveTo(0),
      End: () => moveTo(count - 1),
    };
  };

  return {
    frame,
    onScroll: (event: { currentTarget: HTMLElement }) => look(event.currentTarget),
    first: Math.max(0, Math.floor(view.top / rowPx) - overscan),
    last: Math.min(count, Math.ceil((view.top + view.height) / rowPx) + overscan),
    reveal,
    focus,
    moves,
  };
}
