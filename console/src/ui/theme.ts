// Dark or light: as the system has it, until the user chooses.
import { effect, signal } from '@preact/signals';

export type Theme = 'light' | 'dark';

const key = 'weir-console-theme';
const system = matchMedia('(prefers-color-scheme: dark)');
const chosen = signal<Theme | undefined>(storedTheme());
const systemTheme = signal<Theme>(system.matches ? 'dark' : 'light');

export const theme = signal<Theme>(chosen.value ?? systemTheme.value);

/** To be called before anything is drawn. */
export function startTheme(): void {
  system.addEventListener('change', () => {
    systemTheme.value = system.matches ? 'dark' : 'light';
  });
  effect(() => {
    theme.value = chosen.value ?? systemTheme.value;
    document.documentElement.dataset.theme = theme.value;
  });
}

export function switchTheme(): void {
  chosen.value = theme.peek() === 'dark' ? 'light' : 'dark';
  localStorage.setItem(key, chosen.value);
}

function storedTheme(): Theme | undefined {
  const text = localStorage.getItem(key);
  return text === 'light' || text === 'dark' ? text : undefined;
}
