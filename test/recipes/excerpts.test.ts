// Checks docs/recipes.md against the files that it shows: a block that is marked as an excerpt must be in the file, line by line.
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

/** A marked block is in the text, or indented in a list; that indentation is not part of the file. */
const marked = /^( *)<!-- excerpt of (\S+) -->\n\1```(?:bash|js)\n([\s\S]*?)^\1```$/gm;
const excerpts: Excerpt[] = [...text.matchAll(marked)].map(([, indentation = '', file = '', block = '']) => ({
  file,
  code: block
    .split('\n')
    .map((line) => (line.startsWith(indentation) ? line.slice(indentation.length) : line))
    .join('\n'),
}));

t.test('every excerpt is in its file, unchanged', async (t) => {
  t.equal(excerpts.length, text.match(/<!-- excerpt/g)?.length, 'every mark has a block');
  for (const { file, code } of excerpts) {
    const found = exists(file) && `\n${read(file)}`.includes(`\n${code}`);
    t.ok(found && code.trim() !== '', `${file} has: ${code.split('\n')[0]}`);
  }
});

t.test('every recipe is documented, and every recipe that is named exists', async (t) => {
  for (const file of recipes) {
    t.ok(
      excerpts.some((excerpt) => excerpt.file === file),
      `${page} shows ${file}`,
    );
  }
  for (const [, name] of text.matchAll(/[`/]([a-z-]+\.(?:sh|mjs))\b/g)) {
    // A program of the user begins with a dot: ./make-report.sh.
    const isOwn = new RegExp(`\\./${name}`).test(text);
    t.ok(isOwn || recipes.includes(`examples/recipes/${name}`), `${name} exists`);
  }
});

t.test('every recipe is executable and begins with its usage', async (t) => {
  for (const file of recipes.filter((path) => path !== 'examples/recipes/lib.sh')) {
    t.ok(statSync(join(root, file)).mode & 0o100, `${file} is executable`);
    const name = file.slice('examples/recipes/'.length);
    t.match(read(file), new RegExp(`^#!/usr/bin/env (bash|node)\\n(#|//) ${name} \\S`), `${file} opens with its usage`);
  }
});
