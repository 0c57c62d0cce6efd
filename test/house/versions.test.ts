// One version of the program, in all the places that name it; and one set of versions of Node.js.
import { dirname } from 'node:path';
import t from 'tap';
import { read } from './repository.ts';

const json = (path: string) => JSON.parse(read(path));
const manifest = json('package.json');
const { version } = manifest;
const minor = version.replace(/\.\d+$/, '');

t.test('packages, lock file, documents and examples have the version of the program', async (t) => {
  const found = {
    client: json('client/package.json').version,
    'the client that is bundled': manifest.dependencies['@weirkeeper/client'],
    'the lock file': json('package-lock.json').version,
    'the OpenAPI document': /^ {2}version: (\S+)$/m.exec(read('openapi.yaml'))?.[1],
    'the newest heading of the changelog': /^## \[(.*?)\] - \d{4}-\d\d-\d\d$/m.exec(read('CHANGELOG.md'))?.[1],
  };
  t.same(
    Object.entries(found).filter(([, other]) => other !== version),
    [],
  );
  for (const page of ['README.md', 'docs/cli.md', 'client/README.md']) {
    const packed = [...read(page).matchAll(/\bweirkeeper-(?:client-)?(\d\S*?)\.tgz/g)].map(([, packed]) => packed);
    t.same(new Set(packed), new Set([version]), `${page} names the packages as npm pack does`);
  }
  t.match(read('SECURITY.md'), new RegExp(`^\\| ${minor.replace('.', '\\.')} \\| yes \\|$`, 'm'));
  const examples = [
    ...read('src/http/plugins/openapi-examples.ts').matchAll(/(?<!store: \{\s+)version: '(\d+\.\d+\.\d+)'/g),
  ];
  t.ok(examples.length > 0);
  t.same(
    examples.filter(([, other]) => other !== version),
    [],
  );
});

t.test('both packages say with which versions of Node.js they run; the texts say the same', async (t) => {
  const [, first, second] = /^\^(\d+\.\d+) \|\| >=(\d+\.\d+)$/.exec(manifest.engines.node) ?? [];
  t.equal(json('client/package.json').engines.node, manifest.engines.node);
  for (const file of ['README.md', 'CONTRIBUTING.md']) t.match(read(file), `Node.js ${first}, ${second} or newer`);
  t.match(read('examples/README.md'), `Node.js ${first} |`);
  t.equal(read('.nvmrc').trim(), first?.split('.')[0]);
  t.match(read('.github/workflows/ci.yml'), /node: \[20, 22, 24\]/);
});

t.test('the package of the server contains its client, and what a build makes for it', async (t) => {
  t.same(manifest.bundleDependencies, ['@weirkeeper/client']);
  t.match(manifest.scripts.prepack, /build/);
  t.match(json('client/package.json').scripts.prepack, /build/);
  t.ok(manifest.files.includes(dirname(manifest.bin.weir)), 'its program is in it');
  const [, consoleFolder] = /join\(root, outDir, '([\w-]+)'\)\]/.exec(read('scripts/build.mjs')) ?? [];
  t.ok(manifest.files.includes(`dist/${consoleFolder}`), 'its console, too');
});

t.test('the image is made of exact versions, and of the manifests of all workspaces', async (t) => {
  const dockerfile = read('Dockerfile');
  t.match(dockerfile, /^ARG NODE_IMAGE=node:24\.\d+\.\d+-[a-z]+-slim$/m);
  const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, base]) => base);
  t.same(
    bases.filter((base) => !/^\$\{NODE_IMAGE\}$/.test(base ?? '')),
    [],
  );
  t.equal(bases.length, 2);
  for (const workspace of manifest.workspaces) {
    t.match(dockerfile, new RegExp(`^COPY ${workspace}/package\\.json ${workspace}/$`, 'm'), workspace);
  }
});
