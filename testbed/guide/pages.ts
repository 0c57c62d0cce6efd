// The pages of the guide: docs/README.md, and every page of Markdown that a chain of links leads to from there.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { escapeHtml, type Heading, renderMarkdown, textOfHtml } from './markdown.ts';

export interface GuidePage {
  /** From the root of the repository: `docs/concepts.md`. */
  file: string;
  /** Below /docs/: `guide/concepts`. */
  url: string;
  title: string;
  group: string;
  html: string;
  headings: readonly Heading[];
}

export interface Guide {
  /** In the order of the navigation. */
  pages: readonly GuidePage[];
  /** Pictures by where they are served, below /docs/. */
  pictures: ReadonlyMap<string, Buffer>;
}

export interface ErrorDescription {
  status: number;
  retryable: boolean;
  summary: string;
}

const indexFile = 'docs/README.md';
export const errorsUrl = 'errors';
/** Files that would have the URL of another one, or none that says what they are. */
const urlsOfFiles: Readonly<Record<string, string>> = {
  [indexFile]: 'guide/',
  'README.md': 'guide/tour',
  'SECURITY.md': 'guide/reporting',
};
/** Pages below a folder are a group of their own; the others are where the index of the documents lists them. */
const groupsOfFolders: readonly [folder: string, group: string][] = [
  ['docs/adr/', 'Decisions'],
  ['docs/incidents/', 'Incidents'],
];
const startGroup = 'Begin';
const otherGroup = 'More';

/**
 * Reads and renders all pages.
 * @param root the folder of the repository
 * @throws Error if a page or a picture that is linked to is not there
 */
export function readGuide(root: string, errors: Readonly<Record<string, ErrorDescription>>): Guide {
  const files = filesOf(root);
  const pictures = new Map<string, Buffer>();
  const places = placesOf(readFileSync(join(root, indexFile), 'utf8'));
  const pages = files.map((file) => {
    const url = urlOf(file);
    const { html, headings } = renderMarkdown(readFileSync(join(root, file), 'utf8'), (href) => {
      if (/^(https?:|mailto:|#)/.test(href)) return href;
      const [path = '', anchor] = href.split('#', 2);
      const target = posix.join(posix.dirname(file), path);
      const hash = anchor === undefined ? '' : `#${anchor}`;
      if (files.includes(target)) return `${relativeUrl(url, urlOf(target))}${hash}`;
      if (!target.endsWith('.png')) return undefined;
      // An image is built of less than the repository, so other files may be missing; they are no links here.
      const content = readFileSync(join(root, target));
      const served = `guide/assets/${hashedName(posix.basename(target), content)}`;
      pictures.set(served, content);
      return relativeUrl(url, served);
    });
    const { group, title = headings.find(({ depth }) => depth === 1)?.text ?? file } =
      places.get(file) ?? placeIn(file, otherGroup);
    return { file, url, title, group, html, headings };
  });
  const twice = pages.find(({ url }, at) => pages.findIndex((other) => other.url === url) !== at);
  if (twice) throw new Error(`${twice.file} has the URL ${twice.url} of another page`);
  return { pages: inOrder([...pages, errorsPage(errors)], places), pictures };
}

/** The name of a file with a hash of its content, under which it never changes. */
export function hashedName(name: string, content: Uint8Array): string {
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 10);
  return name.replace(/(\.\w+)$/, `-${hash}$1`);
}

/** A link from one page to another, which holds below any path. @param to `../` is what the server has above /docs/ */
export function relativeUrl(from: string, to: string): string {
  const path = posix.relative(posix.dirname(`/docs/${from}x`), posix.join('/docs', to));
  if (path === '') return './';
  return to.endsWith('/') ? `${path}/` : path;
}

function filesOf(root: string): string[] {
  const files = [indexFile];
  // The list grows while it is gone through.
  for (const file of files) {
    const text = readFileSync(join(root, file), 'utf8');
    for (const target of linkedPages(file, text)) if (!files.includes(target)) files.push(target);
  }
  return files;
}

function linkedPages(file: string, markdown: string): string[] {
  const targets: string[] = [];
  renderMarkdown(markdown, (href) => {
    const path = href.split('#', 1)[0] ?? '';
    if (path.endsWith('.md') && !/^https?:/.test(path)) targets.push(posix.join(posix.dirname(file), path));
    return href;
  });
  return targets;
}

/** `client/README.md` is `guide/client/`, `CHANGELOG.md` is `guide/changelog`. */
function urlOf(file: string): string {
  const named = urlsOfFiles[file];
  if (named !== undefined) return named;
  const path = file.replace(/^docs\//, '').toLowerCase();
  return `guide/${path.replace(/readme\.md$/, '').replace(/\.md$/, '')}`;
}

/** Where a page is in the navigation, and how it is called there. */
interface Place {
  group: string;
  title?: string;
}

/** The places of the pages that the index lists, in its order. */
function placesOf(index: string): Map<string, Place> {
  const places = new Map<string, Place>([
    ['README.md', { group: startGroup, title: 'Introduction' }],
    [indexFile, { group: startGroup, title: 'All pages' }],
  ]);
  for (const section of index.split(/^## /m).slice(1)) {
    const group = section.slice(0, section.indexOf('\n')).trim();
    for (const [, title = '', link = ''] of section.matchAll(/\[([^\]]+)\]\(([^)#]+\.md)\)/g)) {
      const target = posix.join(posix.dirname(indexFile), link);
      if (!places.has(target)) places.set(target, placeIn(target, group, title));
    }
  }
  return places;
}

/** In the groups of folders, the index has numbers only. */
function placeIn(file: string, group: string, title?: string): Place {
  const folder = groupsOfFolders.find(([path]) => file.startsWith(path));
  if (folder) return { group: folder[1] };
  return title === undefined ? { group } : { group, title };
}

function inOrder(pages: GuidePage[], places: ReadonlyMap<string, Place>): GuidePage[] {
  const listed = [...places.keys()];
  const groups = [...places.values()].map(({ group }) => group);
  const last = groupsOfFolders.map(([, group]) => group);
  const names = [...new Set([...groups.filter((group) => !last.includes(group)), otherGroup, ...last])];
  const place = ({ file }: GuidePage) => (listed.includes(file) ? listed.indexOf(file) : listed.length);
  return pages.sort(
    (a, b) => names.indexOf(a.group) - names.indexOf(b.group) || place(a) - place(b) || (a.file < b.file ? -1 : 1),
  );
}

/** The page to which the `type` of a problem links: `/docs/errors#NO_NODE`. */
function errorsPage(errors: Readonly<Record<string, ErrorDescription>>): GuidePage {
  const rows = Object.entries(errors).map(
    ([code, { status, retryable, summary }]) =>
      `<tr id="${code}"><th scope="row"><code>${code}</code></th><td>${status}</td><td>${retryable ? 'yes' : 'no'}</td><td>${escapeHtml(summary)}</td></tr>`,
  );
  const html = `<h1 id="error-codes">Error codes</h1>
<p>Each error is <code>application/problem+json</code>. The code never changes; texts may. What holds for all errors is among the
<a href="guide/http#errors">rules of HTTP</a>.</p>
<div class="table-scroll" tabindex="0"><table>
<thead><tr><th>Code</th><th>Status</th><th>Retryable</th><th>Meaning</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>
`;
  const headings = [{ depth: 1, id: 'error-codes', text: 'Error codes' }];
  return { file: 'schemas/errors.ts', url: errorsUrl, title: 'Error codes', group: 'Use it', html, headings };
}

/** What the search of the guide looks into: each section, with where it is. */
export function sectionsOf({ pages }: Guide): { url: string; page: string; heading: string; text: string }[] {
  return pages.flatMap(({ url, title, html }) =>
    html
      .split(/(?=<h[1-3] id=")/)
      .filter((part) => part.startsWith('<h'))
      .map((part) => {
        const [, id = '', heading = ''] = /^<h[1-3] id="([^"]*)">(.*?)<\/h/.exec(part) ?? [];
        return {
          url: part.startsWith('<h1') ? url : `${url}#${id}`,
          page: title,
          heading: textOfHtml(heading.replace(/<a class="anchor".*$/, '')),
          text: textOfHtml(part.slice(part.indexOf('</h') + 5)),
        };
      }),
  );
}
