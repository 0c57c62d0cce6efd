// Holds docs/recipes.md to the files that it shows: what is marked as an excerpt stands in the file, line by line.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { exists, filesBelow, read, root } from '../house/repository.ts';

const page = 'docs/recipes.md';
const text = read(page);
const recipes = filesBelow('examples/recipes');

interface Excerpt {
  file: string;
  code: string;
}

/** A marked block stands in the text, or indented in a list; that indentation is not the file's. */
const marked = /^( *)<!-- excerpt of (\S+) -->\n\1```(?:bash|js)\n([\s\S]*?)^\1```$/gm;
const excerpts: Excerpt[] = [...text.matchAll(marked)].map(([, indentation = '', file = '', block = '']) => ({
  file,
  code: block
    .split('\n')
    .map((line) => (line.startsWith(indentation) ? line.slice(indentation.length) : line))
    .join('\n'),
}));

t.test('every excerpt stands in its file as it is', async (t) => {
  t.equal(excerpts.length, text.match(/<!-- excerpt/g)?.length, 'every mark has its block');
  for (const { file, code } of excerpts) {
    const found = exists(file) && `\n${read(file)}`.includes(`\n${code}`);
    t.ok(found && code.trim() !== '', `${file} has: ${code.split('\n')[0]}`);
  }
});

t.test('every recipe is shown, and every one that is named is there', async (t) => {
  for (const file of recipes) {
    t.ok(
      excerpts.some((excerpt) => excerpt.file === file),
      `${page} shows ${file}`,
    );
  }
  for (const [, name] of text.matchAll(/[`/]([a-z-]+\.(?:sh|mjs))\b/g)) {
    // What a user brings along stands behind a dot: ./make-report.sh.
    const isOwn = new RegExp(`\\./${name}`).test(text);
    t.ok(isOwn || recipes.includes(`examples/recipes/${name}`), `${name} is there`);
  }
});

t.test('every recipe can be run, and says how', async (t) => {
  for (const file of recipes.filter((path) => path !== 'examples/recipes/lib.sh')) {
    t.ok(statSync(join(root, file)).mode & 0o100, `${file} is executable`);
    const name = file.slice('examples/recipes/'.length);
    t.match(read(file), new RegExp(`^#!/usr/bin/env (bash|node)\\n(#|//) ${name} \\S`), `${file} opens with its usage`);
  }
});
