// The examples of the client's README and of the page of recipes: each runs as it is written, and prints what it says.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { startTestServer } from '../../test/helpers/server.ts';
import * as recipes from '../src/recipes/index.ts';
import { startClient } from './client.ts';
import { checkExample } from './printed-examples.ts';

// Programs of their own, which mostly wait.
t.jobs = 4;

const server = await startTestServer(t);
const read = (path: string) => readFileSync(join(projectRoot(), path), 'utf8');
const ofReadme = [
  ...read('client/README.md').matchAll(/\*\*([^*]+)\.\*\*[^`]*?(?:`[^`\n]+`[^`]*?)*```js\n([\s\S]*?)```/g),
];
const ofRecipes = [
  ...read('docs/recipes.md').matchAll(/^## ([^\n]+)\n(?:(?!^## )[\s\S])*?^With the client:\n\n```js\n([\s\S]*?)```/gm),
];

t.equal(ofReadme.length, 10, 'there are ten in the README');
for (const [, name = '', code = ''] of ofReadme) t.test(name, (t) => checkExample(t, server.url, name, code));

t.equal(ofRecipes.length, Object.keys(recipes).length, 'there is one for each recipe');
await startClient(t, server.url).admin.topics.create({ name: 'ledger', partitions: 2 });
/** What the page leaves out, as it is the same for all. */
const before = `import { Weir } from '@weirkeeper/client';
import { ${Object.keys(recipes).join(', ')} } from '@weirkeeper/client/recipes';
const weir = Weir.fromEnv();
`;
// One program, as each of them takes as long to start as to run.
const program = `${before}${ofRecipes.map(([, , code]) => `{\n${code}}\n`).join('')}await weir.close();\n`;
t.test('the recipes of the page', (t) => checkExample(t, server.url, 'recipes', program));
