// The keyboard: which keys do what now. Pages add their own, and the help lists all of them.
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

export interface KeyBinding {
  /** `?`, `j`, `Ctrl+k`, or two in a row: `g t`. */
  keys: string;
  /** What it does, for the help. */
  does: string;
  run: () => void;
}

interface KeyLayer {
  title: string;
  bindings: readonly KeyBinding[];
}

export const keyLayers = signal<readonly KeyLayer[]>([]);
const sequenceMs = 900;
let first: { key: string; at: number } | undefined;

/** Binds keys while the component is shown. */
export function useKeys(title: string, bindings: readonly KeyBinding[]): void {
  const latest = useRef(bindings);
  latest.current = bindings;
  const names = bindings.map(({ keys }) => keys).join();
  useEffect(() => {
    const layer: KeyLayer = {
      title,
      bindings: latest.current.map(({ keys, does }, index) => ({
        keys,
        does,
        run: () => latest.current[index]?.run(),
      })),
    };
    keyLayers.value = [...keyLayers.peek(), layer];
    return () => {
      keyLayers.value = keyLayers.peek().filter((each) => each !== layer);
    };
  }, [title, names]);
}

/** To be called once: hears the keys of the whole page. */
export function startKeys(): void {
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.altKey) return;
    const isCommand = event.ctrlKey || event.metaKey;
    const isTyping = event.target instanceof Element && isTaken(event.target, event.key);
    // A dialog has its own keys; in a field only commands are ours.
    if (document.querySelector('dialog[open]') || (isTyping && !isCommand)) return;
    const key = (isCommand ? 'Ctrl+' : '') + (event.key === ' ' ? 'Space' : event.key);
    const isSecond = first !== undefined && event.timeStamp - first.at < sequenceMs;
    const binding = (isSecond && find(`${first?.key} ${key}`)) || find(key);
    first = { key, at: event.timeStamp };
    if (!binding) return;
    first = undefined;
    event.preventDefault();
    binding.run();
  });
}

/** The newest layer goes first: a page may use a key of the frame for itself. */
function find(keys: string): KeyBinding | undefined {
  return keyLayers
    .peek()
    .toReversed()
    .flatMap(({ bindings }) => bindings)
    .find((binding) => binding.keys === keys);
}

/** Whether an element has a use of its own for a key. */
function isTaken(element: Element, key: string): boolean {
  if (element.closest('input:not([type="checkbox"]), textarea, select, [contenteditable]')) return true;
  return (
    (key === ' ' || key === 'Enter') && element.closest('button, a, summary, input, [role="treeitem"], tr') !== null
  );
}
