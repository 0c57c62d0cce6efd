// Markdown as a page of the guide: HTML that has only what Markdown makes, with the anchors that forges give to headings.
import { Marked, type RendererObject, type Tokens } from 'marked';

/** Where a link leads on the pages; undefined if that is no part of them. */
export type LinkTarget = (href: string) => string | undefined;

export interface Heading {
  depth: number;
  id: string;
  text: string;
}

export interface RenderedPage {
  html: string;
  headings: readonly Heading[];
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

/** The text of HTML that `renderMarkdown` made, in one line. */
export function textOfHtml(html: string): string {
  const characters = Object.fromEntries(Object.entries(entities).map(([character, entity]) => [entity, character]));
  return html
    .replace(/<[^>]*>/g, ' ')
    .replace(/&(?:amp|lt|gt|quot|#39);/g, (entity) => characters[entity] ?? entity)
    .replace(/\s+/g, ' ')
    .trim();
}

/** @param targetOf where links and pictures lead */
export function renderMarkdown(markdown: string, targetOf: LinkTarget): RenderedPage {
  const headings: Heading[] = [];
  const anchors = new AnchorNames();
  const renderer: RendererObject = {
    heading({ depth, tokens }) {
      const text = this.parser.parseInline(tokens, this.parser.textRenderer);
      const id = anchors.next(text);
      headings.push({ depth, id, text });
      const content = this.parser.parseInline(tokens);
      // The title of a page needs no link to itself.
      const link = depth === 1 ? '' : `<a class="anchor" href="#${id}" aria-label="Link to this section">#</a>`;
      return `<h${depth} id="${id}">${content}${link}</h${depth}>\n`;
    },
    link({ href, tokens }) {
      const text = this.parser.parseInline(tokens);
      const target = targetOf(href);
      if (target === undefined) {
        return `<span class="source-file" title="${escapeHtml(href)} in the repository">${text}</span>`;
      }
      return `<a href="${escapeHtml(target)}"${/^https?:/.test(target) ? ' rel="noopener"' : ''}>${text}</a>`;
    },
    image({ href, text }) {
      const target = targetOf(href);
      if (target === undefined) throw new Error(`There is no picture ${href}`);
      return `<img src="${escapeHtml(target)}" alt="${escapeHtml(text)}" loading="lazy">`;
    },
    code({ text, lang }) {
      return `<pre tabindex="0"${lang ? ` data-lang="${escapeHtml(lang)}"` : ''}><code>${escapeHtml(text)}\n</code></pre>\n`;
    },
    table(token) {
      // A head without a text heads nothing.
      const cellOf = (cell: Tokens.TableCell) => this.tablecell({ ...cell, header: cell.header && cell.text !== '' });
      const row = (cells: Tokens.TableCell[]) => `<tr>${cells.map(cellOf).join('')}</tr>\n`;
      const body = token.rows.map(row).join('');
      return `<div class="table-scroll" tabindex="0"><table>\n<thead>${row(token.header)}</thead>\n<tbody>${body}</tbody></table></div>\n`;
    },
    html: ({ text }) => knownHtml(text),
  };
  const html = new Marked({ gfm: true, renderer }).parse(markdown, { async: false });
  return { html: html.replace(contentsPattern, '<ul class="contents">'), headings };
}

/** A list of links to sections of the page itself. */
const contentsPattern = /<ul>(?=\n(?:<li><a href="#[^"]*">(?:(?!<\/a>).)*<\/a><\/li>\n)+<\/ul>)/g;

/** Of HTML within Markdown only anchors stay; comments are for those who edit the page. */
function knownHtml(text: string): string {
  if (/^<!--[\s\S]*-->\s*$/.test(text)) return '';
  return /^<a id="[\w-]+">(<\/a>)?$|^<\/a>$/.test(text.trim()) ? text : escapeHtml(text);
}

/** Names for headings, each once in a page. */
class AnchorNames {
  readonly #used = new Map<string, number>();

  next(heading: string): string {
    const name = heading
      .toLowerCase()
      .replace(/[^\p{Letter}\p{Number}\s_-]/gu, '')
      .trim()
      .replace(/\s/g, '-');
    const before = this.#used.get(name) ?? 0;
    this.#used.set(name, before + 1);
    return before === 0 ? name : `${name}-${before}`;
  }
}
