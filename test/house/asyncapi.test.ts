// The AsyncAPI document: the committed file is the generated one, and it describes every socket.
import t from 'tap';
import { parse } from 'yaml';
import { requestSchemas } from '../../schemas/socket.ts';
import { asyncApiDocument, asyncApiYaml } from '../../src/asyncapi-file.ts';
import { codeOf, exists, read, sources } from './repository.ts';

const document: any = asyncApiDocument();

t.test('the committed asyncapi.yaml is the generated one', async (t) => {
  const committed = exists('asyncapi.yaml') ? read('asyncapi.yaml') : '';
  t.ok(committed === asyncApiYaml(), 'asyncapi.yaml is out of date: run npm run asyncapi, and commit it');
  t.same(parse(asyncApiYaml()), document, 'the YAML says the same as the document');
});

t.test('it has a channel for each WebSocket of the server', async (t) => {
  const routes = sources
    .filter((file) => /\bwsHandler:/.test(codeOf(file)))
    .flatMap((file) => [...codeOf(file).matchAll(/url: '([^']+)'/g)].map(([, url]) => `/v1${url}`))
    .map((url) => url.replace(/:(\w+)/g, '{$1}'));
  t.ok(routes.length >= 4, 'there are sockets to look for');
  t.same(
    Object.values<any>(document.channels)
      .map(({ address }) => address)
      .sort(),
    routes.sort(),
  );
});

t.test('it has an operation for each request of the pipelined socket, with its response', async (t) => {
  for (const op of Object.keys(requestSchemas)) {
    t.match(document.operations[`socket.${op}`], { action: 'receive', messages: [{}], reply: { messages: [{}] } }, op);
  }
});

t.test('every reference leads somewhere, and every component is used', async (t) => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map((match) => match[1]!);
  const target = (pointer: string) =>
    pointer.split('/').reduce((at: any, name) => at?.[name.replaceAll('~1', '/').replaceAll('~0', '~')], document);
  t.ok(references.length > 50, 'there are references to look at');
  t.same(
    references.filter((pointer) => target(pointer) === undefined),
    [],
  );
  const used = new Set(references);
  const components = Object.entries<any>(document.components).flatMap(([kind, all]) =>
    Object.keys(all).map((name) => `components/${kind}/${name}`),
  );
  t.same(
    components.filter((pointer) => !used.has(pointer)),
    [],
  );
});

t.test('it says nothing of the machine that made it', async (t) => {
  t.notMatch(JSON.stringify(document), /localhost|127\.0\.0\.1|\/tmp\/|\/home\/|\/root\//);
});
