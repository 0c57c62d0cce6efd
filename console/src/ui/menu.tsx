// A button that opens a list of actions.
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { Icon, type IconName } from './icon.tsx';

export interface MenuItem {
  text: string;
  icon?: IconName;
  run: () => void;
  isDangerous?: boolean;
}

export function Menu({ label, icon = 'more', items }: { label: string; icon?: IconName; items: readonly MenuItem[] }) {
  const [isOpen, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const id = useId();
  const itemsOf = () => [...(box.current?.querySelectorAll<HTMLElement>('[role="menuitem"]') ?? [])];
  useEffect(() => {
    if (!isOpen) return undefined;
    itemsOf()[0]?.focus();
    const closeOutside = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener('pointerdown', closeOutside);
    return () => document.removeEventListener('pointerdown', closeOutside);
  }, [isOpen]);
  const close = () => {
    setOpen(false);
    box.current?.querySelector<HTMLElement>('button')?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const all = itemsOf();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const steps: Record<string, () => void> = {
      ArrowDown: () => all[(at + 1) % all.length]?.focus(),
      ArrowUp: () => all[(at - 1 + all.length) % all.length]?.focus(),
      Home: () => all[0]?.focus(),
      End: () => all.at(-1)?.focus(),
      Escape: close,
      Tab: () => setOpen(false),
    };
    const step = isOpen ? steps[event.key] : undefined;
    if (!step) return;
    if (event.key !== 'Tab') event.preventDefault();
    step();
  };
  return (
    <div class="menu" ref={box} role="none" onKeyDown={onKeyDown}>
      <button
        class="button"
        type="button"
        aria-haspopup="menu"
        aria-expanded={isOpen}
        aria-controls={isOpen ? id : undefined}
        onClick={() => setOpen(!isOpen)}
      >
        <Icon name={icon} />
        {label}
      </button>
      {isOpen && (
        <div class="menu-list" id={id} role="menu" aria-label={label}>
          {items.map(({ text, icon: of, run, isDangerous }) => (
            <button
              key={text}
              type="button"
              role="menuitem"
              tabIndex={-1}
              data-kind={isDangerous ? 'danger' : undefined}
              onClick={() => {
                close();
                run();
              }}
            >
              {of && <Icon name={of} />}
              {text}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
