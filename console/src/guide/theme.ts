// Light or dark on pages that are not part of the console: as the console has it.

/** Where the console keeps the choice of the user. */
const key = 'weir-console-theme';
const system = matchMedia('(prefers-color-scheme: dark)');

type Theme = 'light' | 'dark';

function theme(): Theme {
  const chosen = localStorage.getItem(key);
  if (chosen === 'light' || chosen === 'dark') return chosen;
  return system.matches ? 'dark' : 'light';
}

/** To be called before anything is drawn. @param onChange is told of each theme, the first one too */
export function startTheme(onChange: (theme: Theme) => void = () => {}): void {
  const show = () => {
    document.documentElement.dataset.theme = theme();
    onChange(theme());
  };
  show();
  system.addEventListener('change', show);
  // Another page of the server has changed it.
  addEventListener('storage', show);
  addEventListener('weir-theme', show);
}

export function themeButton(): HTMLButtonElement {
  const button = element('button', { type: 'button', className: 'theme-button' });
  const name = () => {
    const other = theme() === 'dark' ? 'light' : 'dark';
    button.textContent = other === 'light' ? 'Light' : 'Dark';
    button.title = `Use ${other} colours`;
  };
  button.addEventListener('click', () => {
    localStorage.setItem(key, theme() === 'dark' ? 'light' : 'dark');
    dispatchEvent(new Event('weir-theme'));
    name();
  });
  name();
  return button;
}

/** An element with a text and properties. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  { text, ...properties }: { text?: string } & Partial<Omit<HTMLElementTagNameMap[K], 'text'>> = {},
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return Object.assign(made, properties);
}
