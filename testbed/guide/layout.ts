// The frame around each page of the guide: the head, the navigation, the sections of the page, and the pages before and after it.
import { escapeHtml } from './markdown.ts';
import { errorsUrl, type Guide, type GuidePage, relativeUrl } from './pages.ts';

/** Where the files of all pages are served, below /docs/. */
export interface GuideFiles {
  script: string;
  stylesheet: string;
  logo: string;
  searchIndex: string;
}

/** Groups with so many pages are closed, but for the one that is shown. */
const openPagesMax = 16;
/** Fewer sections are seen at a glance. */
const sectionsMin = 3;

/** @returns the whole page, as HTML that is valid below any path */
export function layoutOf(page: GuidePage, { pages }: Guide, files: GuideFiles): string {
  const to = (url: string) => relativeUrl(page.url, url);
  const at = pages.indexOf(page);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(page.title)} · Weirkeeper</title>
<link rel="icon" href="${to(files.logo)}" type="image/svg+xml">
<link rel="stylesheet" href="${to(files.stylesheet)}">
<script src="${to(files.script)}" data-base="${to('guide/')}" data-index="${to(files.searchIndex)}"></script>
</head>
<body>
<a class="skip-link" href="#content">Skip to the page</a>
<header class="guide-head">
<a class="brand" href="${to('guide/')}"><img src="${to(files.logo)}" alt="" width="28" height="28">Weirkeeper <span>guide</span></a>
<a class="menu-link" href="#menu">All pages</a>
<search class="guide-search"></search>
<nav aria-label="Elsewhere on this server"><a href="${to('../docs')}">API</a><a href="${to('../')}">Console</a></nav>
</header>
<div class="guide">
<main id="content" tabindex="-1">
<article>
${page.html}</article>
${neighbours(pages[at - 1], pages[at + 1], to)}
</main>
${sectionList(page)}
<nav class="guide-nav" id="menu" aria-label="Pages of the guide">
${groupList(pages, page, to)}
</nav>
</div>
</body>
</html>
`;
}

function groupList(pages: readonly GuidePage[], current: GuidePage, to: (url: string) => string): string {
  return [...new Set(pages.map(({ group }) => group))]
    .map((group) => {
      const own = pages.filter((page) => page.group === group);
      const links = own
        .map(
          (page) =>
            `<li><a href="${to(page.url)}"${page === current ? ' aria-current="page"' : ''}>${escapeHtml(page.title)}</a></li>`,
        )
        .join('\n');
      const isOpen = own.length < openPagesMax || group === current.group;
      return `<details${isOpen ? ' open' : ''}><summary>${escapeHtml(group)}</summary>\n<ul>\n${links}\n</ul></details>`;
    })
    .join('\n');
}

function sectionList({ headings }: GuidePage): string {
  const sections = headings.filter(({ depth }) => depth === 2);
  if (sections.length < sectionsMin) return '<div class="sections"></div>';
  const links = sections.map(({ id, text }) => `<li><a href="#${id}">${escapeHtml(text)}</a></li>`).join('\n');
  return `<nav class="sections" aria-labelledby="on-this-page"><p id="on-this-page">On this page</p>\n<ul>\n${links}\n</ul></nav>`;
}

function neighbours(before: GuidePage | undefined, after: GuidePage | undefined, to: (url: string) => string): string {
  const link = (page: GuidePage | undefined, rel: 'prev' | 'next', text: string) =>
    page ? `<a rel="${rel}" href="${to(page.url)}"><span>${text}</span> ${escapeHtml(page.title)}</a>` : '';
  return `<nav class="neighbours" aria-label="Next pages">${link(before, 'prev', 'Before')}${link(after, 'next', 'Next')}</nav>`;
}

/** Where a page is as a file: `guide/concepts.html`. */
export function fileOf(url: string): string {
  return url === errorsUrl || !url.endsWith('/') ? `${url}.html` : `${url}index.html`;
}
