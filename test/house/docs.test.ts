// The rules for the documents: links lead somewhere, each page can be found, words follow the glossary, and what comments
// cite is in the repository. test/curl/documents.test.ts runs the commands that the pages show.
import { posix } from 'node:path';
import t from 'tap';
import { flagOf } from '../../src/config/config.ts';
import { options } from '../../src/config/options.ts';
import { client, exists, filesBelow, read, scripts, sources, tests } from './repository.ts';

const pages = [
  ...filesBelow('docs', '.md'),
  ...filesBelow('examples', '.md'),
  ...[
    'README.md',
    'client/README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'SECURITY.md',
    'bench/README.md',
    'bench/HISTORY.md',
  ],
];
const code = [
  ...sources,
  ...client,
  ...scripts,
  ...tests,
  ...filesBelow('bench', '.ts'),
  ...filesBelow('testbed', '.ts'),
];
/** This file spells out what it looks for. */
const self = 'test/house/docs.test.ts';

const withoutBlocks = (text: string): string => text.replace(/^( *)```[\s\S]*?^\1```$/gm, '');
const withoutCode = (text: string): string => withoutBlocks(text).replace(/`[^`\n]*`/g, '');

/** The anchors that a page has, as forges make them of its headings. */
function anchorsOf(page: string): Set<string> {
  const text = withoutBlocks(read(page));
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{Letter}\p{Number}\s_-]/gu, '')
      .trim()
      .replace(/\s/g, '-'),
  );
  return new Set([...headings, ...[...text.matchAll(/<a id="([^"]+)">/g)].map((match) => match[1]!)]);
}

/** Links of a page to files of the repository: where from, where to, and the anchor there. */
function linksOf(page: string): { link: string; target: string; anchor: string | undefined }[] {
  return [...withoutCode(read(page)).matchAll(/\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)/g)].map(
    ([, path = '', anchor]) => ({
      link: `${page} → ${path}${anchor === undefined ? '' : `#${anchor}`}`,
      target: path === '' ? page : posix.join(posix.dirname(page), path),
      anchor,
    }),
  );
}

t.test('each link leads to a file, and to an anchor that is there', async (t) => {
  const links = pages.flatMap(linksOf);
  const broken = links.filter(({ target, anchor }) => {
    if (!exists(target)) return true;
    return anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).has(anchor);
  });
  t.same(
    broken.map(({ link }) => link),
    [],
  );
});

t.test('each page is in an index', async (t) => {
  const indexes = ['docs/README.md', 'docs/incidents/README.md'];
  const listed = new Set(indexes.flatMap((index) => linksOf(index).map(({ target }) => target)));
  const hidden = filesBelow('docs', '.md').filter((page) => !listed.has(page) && page !== 'docs/README.md');
  t.same(hidden, [], 'docs/README.md and docs/incidents/README.md list every page');
  t.ok(
    linksOf('README.md').some(({ target }) => target === 'docs/README.md'),
    'the README leads to the index',
  );
});

t.test('each long page has a list of its contents', async (t) => {
  const long = pages.filter((page) => page.startsWith('docs/') && read(page).split('\n').length > 120);
  const without = long.filter((page) => {
    const sections = [...withoutBlocks(read(page)).matchAll(/^## /gm)].length;
    return linksOf(page).filter(({ link }) => link.startsWith(`${page} → #`)).length < sections;
  });
  t.same(without, [], 'it links to each of its sections');
});

t.test('the README is short', async (t) => {
  t.ok(read('README.md').split('\n').length <= 200);
});

t.test('no page uses a word that the glossary replaces', async (t) => {
  const replaced = read('docs/GLOSSARY.md')
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .flatMap((line) =>
      [
        ...line
          .split('|')
          .at(-2)!
          .matchAll(/\*\*(.+?)\*\*/g),
      ].map((match) => match[1]!),
    );
  t.ok(replaced.length > 0, 'the glossary has such words');
  const word = new RegExp(`\\b(${replaced.join('|')})s?\\b`, 'i');
  const offenders = pages
    .filter((page) => page !== 'docs/GLOSSARY.md' && page !== 'bench/HISTORY.md')
    .flatMap((page) =>
      withoutCode(read(page))
        .split('\n')
        .filter((line) => word.test(line))
        .map((line) => `${page}: ${word.exec(line)![0]}: ${line.slice(0, 100)}`),
    );
  t.same(offenders, []);
});

t.test('each guarantee that is cited is listed', async (t) => {
  const listed = new Set([...read('docs/guarantees.md').matchAll(/^\| ([NWLRES]\d) \|/gm)].map((match) => match[1]!));
  t.ok(listed.size > 20, 'docs/guarantees.md lists them');
  const cited = [...code, ...pages].flatMap((file) =>
    [...read(file).matchAll(/\b[Gg]uarantees? ((?:[A-Z]\d\d?(?:, | and | to )?)+)|\(([NWLRES]\d(?:, [NWLRES]\d)*)\)/g)]
      .flatMap((match) => (match[1] ?? match[2]!).match(/[A-Z]\d\d?/g) ?? [])
      .filter((guarantee) => !listed.has(guarantee))
      .map((guarantee) => `${file}: ${guarantee}`),
  );
  t.same(cited, []);
});

t.test('code and pages cite only what is in the repository', async (t) => {
  const elsewhere = /(?<![\w-])\d-[a-z]+(?:-[a-z]+)*\.md\b|\b(?:design|reference)\/[\w-]+\.md|\b\w+-semantics\b/;
  const offenders = [...code, ...pages]
    .filter((file) => file !== self)
    .flatMap((file) => [
      ...(elsewhere.exec(read(file)) ?? []).map((text) => `${file}: ${text}`),
      ...[...read(file).matchAll(/\b(docs\/[\w/-]+\.md)\b/g)]
        .filter(([, page]) => !exists(page!))
        .map(([, page]) => `${file}: ${page}`),
      ...[...read(file).matchAll(/\bdocs\/adr\/(\d{3})\b/g)]
        .filter(([, number]) => !pages.some((page) => page.startsWith(`docs/adr/${number}-`)))
        .map(([text]) => `${file}: ${text}`),
      ...[...read(file).matchAll(/\bADR (\d{3})\b/g)]
        .filter(([, number]) => !pages.some((page) => page.startsWith(`docs/adr/${number}-`)))
        .map(([text]) => `${file}: ${text}`),
    ]);
  t.same(offenders, []);
});

t.test('each metric and each option that a page names is there', async (t) => {
  const all = [...sources, ...client].map(read).join('\n');
  const programs = [...filesBelow('test', '.ts'), ...filesBelow('bench', '.ts'), 'compose.yaml'].map(read).join('\n');
  const offenders = pages.flatMap((page) => [
    ...[...read(page).matchAll(/\bweir_([a-z_]+[a-z])/g)]
      .filter(([, name]) => !all.includes(`'${name}'`))
      .map(([text]) => `${page}: ${text}`),
    ...[...read(page).matchAll(/\bWEIR_[A-Z_]+[A-Z]/g)]
      .filter(([name]) => !all.includes(name) && !programs.includes(name))
      .map(([text]) => `${page}: ${text}`),
  ]);
  t.same([...new Set(offenders)], []);
});

t.test('operations.md has each option, with its default and its meaning', async (t) => {
  const rows = Object.values(options).map((option) => {
    const value = option.default ? `\`${option.default}\` ` : '';
    return `| \`${option.variable}\` | \`--${flagOf(option)}\` | ${value}| ${option.meaning} |`;
  });
  const section = /^## Options\n([\s\S]*?)^## /m.exec(read('docs/operations.md'))?.[1] ?? '';
  t.same(
    section.split('\n').filter((line) => line.startsWith('| `')),
    rows,
  );
});
