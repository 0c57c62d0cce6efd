// The OpenAPI document: the committed file is the generated one, and it is a sound OpenAPI 3.1 document of this service.
import { Ajv2020 } from 'ajv/dist/2020.js';
import t from 'tap';
import { parse } from 'yaml';
import { openApiDocument, openApiYaml } from '../../src/openapi-file.ts';
import { exists, operationsOf, read } from './repository.ts';

const document: any = await openApiDocument();
const operations = operationsOf(document);

/** Every value in the document with the pointer to it. */
function* walk(value: unknown, pointer = '#'): Generator<{ pointer: string; value: any }> {
  yield { pointer, value };
  if (typeof value !== 'object' || value === null) return;
  for (const [key, part] of Object.entries(value)) {
    yield* walk(part, `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`);
  }
}

const everything = [...walk(document)];
const pointers = new Set(everything.map(({ pointer }) => pointer));

t.test('the committed openapi.yaml is the generated one', async (t) => {
  const committed = exists('openapi.yaml') ? read('openapi.yaml') : '';
  t.ok(committed === (await openApiYaml()), 'openapi.yaml is out of date: run npm run openapi, and commit it');
});

t.test('the YAML says the same as the document, and is made the same every time', async (t) => {
  const yaml = await openApiYaml();
  t.same(parse(yaml), document);
  t.equal(await openApiYaml(), yaml);
});

t.test('it is an OpenAPI 3.1 document with a title, a version and a licence', async (t) => {
  t.match(document.openapi, /^3\.1\.\d+$/);
  t.match(document.info, { title: 'Weirkeeper', version: /^\d+\.\d+\.\d+$/, license: { identifier: 'Apache-2.0' } });
  const known = ['openapi', 'info', 'tags', 'paths', 'components', 'servers', 'security'];
  t.same(
    Object.keys(document).filter((key) => !known.includes(key)),
    [],
    'nothing else stands at its top',
  );
});

t.test('every reference leads somewhere', async (t) => {
  const references = everything.filter(({ value }) => typeof value?.$ref === 'string');
  t.ok(references.length > 50, 'there are references to look at');
  for (const { pointer, value } of references) t.ok(pointers.has(value.$ref), `${pointer} -> ${value.$ref}`);
});

t.test('every component is used, or is a frame of a socket', async (t) => {
  const used = new Set(everything.map(({ value }) => value?.$ref).filter((ref) => ref !== undefined));
  for (const [kind, components] of Object.entries<any>(document.components)) {
    for (const name of Object.keys(components)) {
      const isUsed = used.has(`#/components/${kind}/${name}`);
      t.ok(isUsed || /Frame$/.test(name), `${kind}/${name} is used`);
    }
  }
});

t.test('components have names of their own, and stand there once', async (t) => {
  const names = Object.keys(document.components.schemas);
  for (const name of names) {
    t.match(name, /^[A-Z][A-Za-z]+$/, `${name} was named by a person`);
    t.notMatch(name, /^Def\b|^Schema\d|__/, `${name} was not made up`);
    const plain = name.replace(/(Input|Output)$/, '');
    if (plain !== name) t.notOk(names.includes(plain), `${name} is no second ${plain}`);
  }
  t.same(names, [...names].sort(), 'in order, so that changes are easy to read');
});

t.test('every operation has a unique id, one known tag, a summary and a success', async (t) => {
  const tags = document.tags.map(({ name }: { name: string }) => name);
  const ids = operations.map(({ operation }) => operation.operationId);
  t.equal(new Set(ids).size, ids.length, 'the ids are unique');
  for (const { name, operation } of operations) {
    t.match(operation.operationId, /^[a-z]+(\.[a-z][A-Za-z]*)*$/, `${name} has an id`);
    t.equal(operation.tags?.length, 1, `${name} has one tag`);
    t.ok(tags.includes(operation.tags?.[0]), `${name}: its tag ${operation.tags?.[0]} is described`);
    t.match(operation.summary, /^[A-Z].*[^.]$/, `${name} has a summary, a title without a full stop`);
    const statuses = Object.keys(operation.responses);
    t.ok(
      statuses.some((status) => /^(2\d\d|101)$/.test(status)),
      `${name} can succeed`,
    );
    t.ok('default' in operation.responses, `${name} says what any other failure looks like`);
    for (const status of statuses) {
      t.match(status, /^([1-5]\d\d|default)$/, `${name}: ${status} is a status`);
      const response = operation.responses[status];
      t.ok(response.$ref ?? response.description, `${name} ${status} is described`);
      t.not(response.description, 'Default Response', `${name} ${status} is described by us`);
    }
  }
});

t.test('failures are problems', async (t) => {
  for (const { name, operation } of operations) {
    for (const [status, response] of Object.entries<any>(operation.responses)) {
      if (!/^[45]/.test(status)) continue;
      const schema = response.content?.['application/problem+json']?.schema;
      t.same(schema, { $ref: '#/components/schemas/Problem' }, `${name} ${status}`);
    }
  }
});

t.test('every parameter in a path is declared, and no other', async (t) => {
  for (const { name, path, operation } of operations) {
    const inPath = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]).sort();
    const declared = (operation.parameters ?? []).filter((parameter: any) => parameter.in === 'path');
    t.same(declared.map((parameter: any) => parameter.name).sort(), inPath, `${name} declares ${inPath.join(', ')}`);
    for (const parameter of declared) t.equal(parameter.required, true, `${name}: ${parameter.name} is required`);
    t.notMatch(path, /[*:]/, `${name} has no wildcard left`);
  }
});

t.test('every parameter has a name of its own and a schema that says something', async (t) => {
  for (const { name, operation } of operations) {
    const parameters = (operation.parameters ?? []).map((parameter: any) => resolved(parameter));
    const names = parameters.map((parameter: any) => `${parameter.in} ${parameter.name.toLowerCase()}`);
    t.equal(new Set(names).size, names.length, `${name}: no parameter stands there twice`);
    for (const parameter of parameters) {
      t.match(parameter.in, /^(path|query|header)$/, `${name}: ${parameter.name} is in a place`);
      t.ok(Object.keys(parameter.schema ?? {}).length > 0, `${name}: ${parameter.name} has a schema`);
      if (parameter.in === 'header') t.match(parameter.name, /^[A-Z]/, `${name}: ${parameter.name} is spelt as usual`);
    }
  }
});

t.test('every body and answer with a content has a schema that says something', async (t) => {
  for (const { name, operation } of operations) {
    const contents = [operation.requestBody, ...Object.values<any>(operation.responses).map(resolved)];
    for (const [type, { schema }] of contents.flatMap((part) => Object.entries<any>(part?.content ?? {}))) {
      t.match(type, /^([a-z*]+\/[a-z0-9.*+-]+)(;.*)?$/, `${name}: ${type} is a media type`);
      t.ok(Object.keys(schema ?? {}).length > 0, `${name}: ${type} has a schema`);
    }
  }
});

t.test('raw bytes are binary, and may be none', async (t) => {
  for (const { name, operation } of operations) {
    const raw = operation.requestBody?.content?.['*/*'];
    if (!raw) continue;
    t.match(raw.schema, { type: 'string', format: 'binary' }, name);
    t.not(operation.requestBody.required, true, name);
  }
});

t.test('what takes an Idempotency-Key says so, and that its answer may be a replay', async (t) => {
  let found = 0;
  for (const { name, operation } of operations) {
    const has422 = /IDEMPOTENCY_KEY_REUSED/.test(operation.responses['422']?.description ?? '');
    const parameters = (operation.parameters ?? []).map((parameter: any) => resolved(parameter).name);
    t.equal(parameters.includes('Idempotency-Key'), has422, name);
    if (!has422) continue;
    found += 1;
    for (const [status, response] of Object.entries<any>(operation.responses)) {
      if (/^2/.test(status)) t.ok(response.headers?.['Idempotency-Replayed'], `${name} ${status}`);
    }
  }
  t.ok(found >= 3, 'there are such operations');
});

t.test('a header stands where a route reads it, and a body has its limit', async (t) => {
  const taking = (header: string) =>
    operations
      .filter(({ operation }) => (operation.parameters ?? []).some((each: any) => resolved(each).name === header))
      .map(({ operation }) => operation.operationId)
      .sort();
  for (const header of ['Weir-Fence', 'Weir-Producer']) {
    t.same(taking(header), ['records.produce', 'records.produceToPartition'], header);
  }
  for (const { name, operation } of operations) {
    if (operation.requestBody) t.match(operation.requestBody.description, /^At most \d+ [KM]iB/, name);
  }
  t.notMatch(JSON.stringify(document), /x-declared/);
});

/** A repeat of these is carried out again: what they extend is a lease, or they say themselves which call they repeat. */
const repeatable = ['sessions.renew', 'sessions.renewSelf', 'groups.heartbeat', 'groups.consumeByPost'];

t.test(
  'every operation that writes takes an Idempotency-Key, but those that may be repeated as they are',
  async (t) => {
    for (const { name, method, operation } of operations) {
      if (!['post', 'put', 'patch', 'delete'].includes(method) || repeatable.includes(operation.operationId)) continue;
      const parameters = (operation.parameters ?? []).map((parameter: any) => resolved(parameter).name);
      t.ok(parameters.includes('Idempotency-Key'), name);
    }
  },
);

t.test('headers of answers are headers', async (t) => {
  for (const { pointer, value } of everything) {
    if (!/^#\/components\/headers\/[^/]+$|\/responses\/\w+\/headers\/[^/]+$/.test(pointer)) continue;
    const header = resolved(value);
    t.ok(typeof header.schema?.type === 'string', `${pointer} has a schema with a type`);
  }
});

t.test('schemas use the words of JSON Schema 2020-12 only', async (t) => {
  const types = ['string', 'integer', 'number', 'boolean', 'object', 'array', 'null'];
  for (const { pointer, value } of everything) {
    if (!pointer.startsWith('#/components/schemas/') || typeof value !== 'object' || value === null) continue;
    if (/\/(properties|enum|required|examples|default|const|mapping)$/.test(pointer)) continue;
    if (value.type !== undefined && !/\/properties$/.test(pointer)) {
      for (const type of [value.type].flat()) t.ok(types.includes(type), `${pointer} has a type of JSON Schema`);
    }
    t.notOk('nullable' in value || 'x-fastify-zod-openapi-optional' in value, `${pointer} has no foreign word`);
    if (Array.isArray(value.required)) {
      for (const name of value.required)
        t.ok(name in (value.properties ?? {}), `${pointer} requires ${name}, which it has`);
    }
  }
});

t.test('every schema is a valid one of JSON Schema 2020-12, and can be compiled', async (t) => {
  // Formats are notes for readers; `discriminator` is a word of OpenAPI.
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema(document, 'openapi');
  const schemas = everything.filter(({ pointer }) => /^#\/components\/schemas\/\w+$|\/schema$/.test(pointer));
  t.ok(schemas.length > 100, 'there are schemas to look at');
  for (const { pointer, value } of schemas) {
    t.ok(ajv.validateSchema(value), `${pointer}: ${ajv.errorsText(ajv.errors)}`);
    t.doesNotThrow(() => ajv.compile({ $ref: `openapi${pointer}` }), pointer);
  }
});

t.test('the frames of the sockets are there, as OpenAPI has no words for sockets themselves', async (t) => {
  const { WatchClientFrame, WatchServerFrame } = document.components.schemas;
  const types = (frame: any) => frame.oneOf.map((each: any) => each.properties.type.const).sort();
  t.same(types(WatchClientFrame), ['ping', 'session', 'unwatch', 'watch']);
  t.ok(['bookmark', 'error', 'events', 'watching'].every((type) => types(WatchServerFrame).includes(type)));
});

t.test('it says nothing of the machine that made it', async (t) => {
  t.notMatch(JSON.stringify(document), /localhost|127\.0\.0\.1|\/tmp\/|\/home\/|\/root\//);
});

function resolved(part: any): any {
  if (typeof part?.$ref !== 'string') return part;
  return everything.find(({ pointer }) => pointer === part.$ref)?.value;
}
