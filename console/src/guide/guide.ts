// What the pages of the guide do beyond showing their text: light or dark as the console has it, a search, and buttons that copy.
import { element, startTheme, themeButton } from './theme.ts';

interface Section {
  /** Below /docs/: `guide/http#errors`. */
  url: string;
  page: string;
  heading: string;
  text: string;
}

const foundMax = 12;
const excerptLength = 140;

const script = document.currentScript as HTMLScriptElement;
const { base = './', index = '' } = script.dataset;
startTheme();
document.addEventListener('DOMContentLoaded', () => {
  document.querySelector('.guide-head nav')?.append(themeButton());
  addSearch();
  for (const block of document.querySelectorAll<HTMLElement>('article pre')) addCopyButton(block);
});

function addCopyButton(block: HTMLElement): void {
  // Only in a secure context pages may write to the clipboard.
  if (navigator.clipboard === undefined) return;
  const button = element('button', { type: 'button', className: 'copy-button', text: 'Copy' });
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText((block.textContent ?? '').trimEnd());
    button.textContent = 'Copied';
    setTimeout(() => {
      button.textContent = 'Copy';
    }, 1500);
  });
  const frame = element('div', { className: 'code-frame' });
  block.replaceWith(frame);
  frame.append(block, button);
}

function addSearch(): void {
  const place = document.querySelector('.guide-search');
  if (!place) return;
  const input = element('input', { type: 'search', placeholder: 'Search the guide', id: 'guide-search' });
  input.setAttribute('aria-label', 'Search the guide');
  input.setAttribute('aria-controls', 'guide-found');
  const found = element('div', { id: 'guide-found', className: 'found', hidden: true });
  found.setAttribute('role', 'region');
  found.setAttribute('aria-label', 'What was found');
  found.setAttribute('aria-live', 'polite');
  place.append(input, found);

  let loading: Promise<Section[]> | undefined;
  const show = async () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    found.hidden = words.length === 0;
    if (words.length === 0) return;
    loading ??= fetch(index).then((response) => response.json() as Promise<Section[]>);
    try {
      const best = search(await loading, words);
      if (words.join() !== input.value.toLowerCase().split(/\s+/).filter(Boolean).join()) return;
      found.replaceChildren(...(best.length > 0 ? best.map((each) => resultOf(each, words)) : [nothingFound()]));
    } catch {
      loading = undefined;
      found.replaceChildren(element('p', { text: 'The server does not respond.' }));
    }
  };
  input.addEventListener('focus', () => void show());
  input.addEventListener('input', () => void show());
  place.addEventListener('keydown', (event) => moveIn(event as KeyboardEvent, input, found));
  document.addEventListener('pointerdown', ({ target }) => {
    if (!place.contains(target as Node)) found.hidden = true;
  });
  document.addEventListener('keydown', (event) => {
    const isTyping = event.target instanceof HTMLInputElement;
    const isSearch = (event.key === '/' && !isTyping) || (event.key === 'k' && (event.ctrlKey || event.metaKey));
    if (!isSearch) return;
    event.preventDefault();
    input.focus();
    input.select();
  });
}

/** Arrows go through what was found, Enter opens the first, Escape closes. */
function moveIn(event: KeyboardEvent, input: HTMLInputElement, found: HTMLElement): void {
  const links = [...found.querySelectorAll('a')];
  const stops: HTMLElement[] = [input, ...links];
  const at = stops.indexOf(document.activeElement as HTMLElement);
  if (event.key === 'ArrowDown') stops[Math.min(at + 1, links.length)]?.focus();
  else if (event.key === 'ArrowUp') stops[Math.max(at - 1, 0)]?.focus();
  else if (event.key === 'Enter' && at === 0) links[0]?.click();
  else if (event.key === 'Escape') {
    found.hidden = true;
    input.focus();
    found.hidden = true;
  } else return;
  event.preventDefault();
}

/** The sections that have all words: first those that have them in the title, then in the heading. */
function search(sections: readonly Section[], words: readonly string[]): Section[] {
  const rank = ({ page, heading, text, url }: Section): number => {
    const [title, name, all] = [page.toLowerCase(), heading.toLowerCase(), `${page} ${heading} ${text}`.toLowerCase()];
    if (!words.every((word) => all.includes(word))) return 0;
    const hits =
      words.filter((word) => name.includes(word)).length * 4 + words.filter((word) => title.includes(word)).length;
    // Decisions and faults of the past are seldom what a reader looks for.
    return (hits + 1) * (/\/(adr|incidents|changelog|bench)\b/.test(url) ? 0.5 : 1);
  };
  return sections
    .map((section) => ({ section, rank: rank(section) }))
    .filter((each) => each.rank > 0)
    .sort((a, b) => b.rank - a.rank)
    .slice(0, foundMax)
    .map(({ section }) => section);
}

function resultOf({ url, page, heading, text }: Section, words: readonly string[]): HTMLElement {
  // The base leads to the guide, and the URL of a section begins at /docs/.
  const link = element('a', { href: `${base}../${url}` });
  const at = Math.max(0, text.toLowerCase().indexOf(words[0] ?? '') - excerptLength / 3);
  const excerpt = `${at > 0 ? '… ' : ''}${text.slice(at, at + excerptLength)}${text.length > at + excerptLength ? ' …' : ''}`;
  link.append(
    element('b', { text: heading === page ? page : `${page}: ${heading}` }),
    element('span', { text: excerpt }),
  );
  return link;
}

function nothingFound(): HTMLElement {
  return element('p', { text: 'No section has all these words.' });
}
