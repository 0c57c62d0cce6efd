// Short messages about what was done, or was refused. They are read out, and a refusal stays until it is closed.
import { signal } from '@preact/signals';
import { textOfError } from '../live/errors.ts';
import { IconButton } from './parts.tsx';

interface Toast {
  id: number;
  kind: 'good' | 'bad';
  title: string;
  text: string | undefined;
}

const toasts = signal<readonly Toast[]>([]);
const shownMs = 4000;
const toastsMax = 4;
let lastId = 0;

/** Says that something was done. */
export function tell(title: string, text?: string): void {
  const id = add('good', title, text);
  setTimeout(() => remove(id), shownMs);
}

/** Says that something failed. */
export function tellError(error: unknown): void {
  const { title, detail, remedy } = textOfError(error);
  add('bad', title, remedy === undefined ? detail : `${detail} ${remedy}`);
}

function add(kind: Toast['kind'], title: string, text: string | undefined): number {
  lastId += 1;
  toasts.value = [...toasts.peek(), { id: lastId, kind, title, text }].slice(-toastsMax);
  return lastId;
}

function remove(id: number): void {
  toasts.value = toasts.peek().filter((toast) => toast.id !== id);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, kind, title, text }) => (
        <div key={id} class="toast" data-kind={kind}>
          <div>
            <strong>{title}</strong>
            {text !== undefined && <p>{text}</p>}
          </div>
          <IconButton icon="close" label={`Close: ${title}`} onClick={() => remove(id)} />
        </div>
      ))}
    </div>
  );
}
