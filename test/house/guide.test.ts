// The guide that the server serves below /docs/guide: each page of docs/ is there, and every link leads somewhere.
import t from 'tap';
import { errorCatalogue } from '../../schemas/errors.ts';
import { layoutOf } from '../../testbed/guide/layout.ts';
import { readGuide, sectionsOf } from '../../testbed/guide/pages.ts';
import { filesBelow, root } from './repository.ts';

const guide = readGuide(root, errorCatalogue);
const assets = {
  script: 'guide/assets/guide.js',
  stylesheet: 'guide/assets/guide.css',
  logo: 'guide/assets/logo.svg',
  searchIndex: 'guide/assets/search.json',
};
const origin = 'http://server/docs/';
const pages = new Map(guide.pages.map((page) => [origin + page.url, layoutOf(page, guide, assets)]));
const files = new Set([...Object.values(assets), ...guide.pictures.keys()].map((name) => origin + name));
/** What the server has besides the guide. */
const others = new Set(['http://server/', 'http://server/docs/']);

const matches = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match[1] ?? '');

t.test('each page of docs/ is a page of the guide', async (t) => {
  const shown = new Set(guide.pages.map(({ file }) => file));
  const missing = filesBelow('docs', '.md').filter((file) => !shown.has(file));
  t.same(missing, []);
});

t.test('each link of the guide leads to a page, a file, and an anchor that are there', async (t) => {
  const anchors = new Map([...pages].map(([url, html]) => [url, new Set(matches(html, / id="([^"]+)"/g))]));
  const dead = [...pages].flatMap(([from, html]) =>
    matches(html, / (?:href|src|data-index|data-base)="([^"]+)"/g)
      .filter((link) => !/^(https?|mailto):/.test(link))
      .filter((link) => {
        const { origin, pathname, hash } = new URL(link, from);
        const to = `${origin}${pathname}`;
        if (hash === '') return !pages.has(to) && !files.has(to) && !others.has(to);
        return anchors.get(to)?.has(decodeURIComponent(hash.slice(1))) !== true;
      })
      .map((link) => `${from} → ${link}`),
  );
  t.same(dead, []);
});

t.test('no two elements of a page have one id', async (t) => {
  const twice = [...pages].flatMap(([url, html]) => {
    const ids = matches(html, / id="([^"]+)"/g);
    return ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `${url}#${id}`);
  });
  t.same(twice, []);
});

t.test('a page has no HTML but what Markdown makes, so no script and no style', async (t) => {
  const known =
    /^(a|article|blockquote|br|code|del|details|div|em|h[1-6]|head|header|hr|html|body|img|input|li|link|main|meta|nav|ol|p|pre|script|search|span|strong|summary|table|tbody|td|th|thead|title|tr|ul)$/;
  for (const [url, html] of pages) {
    t.same(
      matches(html, /<([a-z][\w-]*)/g).filter((name) => !known.test(name)),
      [],
      url,
    );
    t.equal(matches(html, /(<script)/g).length, 1, `${url} has the script of its frame alone`);
    t.notMatch(html, /<[a-z][^>]* (?:style|on\w+)=/, `${url} has no script or style in an attribute`);
  }
});

t.test('the search knows each page by its words', async (t) => {
  const sections = sectionsOf(guide);
  const unknown = guide.pages.filter(({ url }) => !sections.some((section) => section.url === url));
  t.same(unknown, []);
  const found = sections.filter(({ text }) => text.includes('retention.bytes'));
  t.ok(found.length > 0);
  t.notOk(
    sections.some(({ heading, text }) => /<|&(amp|lt|gt);/.test(heading) || /&(amp|lt|gt);/.test(text)),
    'it has texts, and no HTML',
  );
});
