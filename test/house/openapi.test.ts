// The OpenAPI document: the committed file is the generated one, and it is a sound OpenAPI 3.1 document of this service.
import { Ajv2020 } from 'ajv/dist/2020.js';
import t from 'tap';
import { parse } from 'yaml';
import { packageVersion } from '../../src/config/config.ts';
import { descriptions } from '../../src/http/plugins/openapi-descriptions.ts';
import { examples } from '../../src/http/plugins/openapi-examples.ts';
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
  t.match(document.info, { title: 'Weirkeeper', version: packageVersion(), license: { identifier: 'Apache-2.0' } });
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
  t.same(
    references
      .filter(({ value }) => !pointers.has(value.$ref))
      .map(({ pointer, value }) => `${pointer} -> ${value.$ref}`),
    [],
  );
});

t.test('every component is used', async (t) => {
  const used = new Set(everything.map(({ value }) => value?.$ref).filter((ref) => ref !== undefined));
  // Security schemes are named without a reference.
  const schemes = [document, ...everything.map(({ value }) => value)].flatMap((value) => value?.security ?? []);
  for (const name of schemes.flatMap(Object.keys)) used.add(`#/components/securitySchemes/${name}`);
  const components = Object.entries<any>(document.components).flatMap(([kind, all]) =>
    Object.keys(all).map((name) => `#/components/${kind}/${name}`),
  );
  t.same(
    components.filter((pointer) => !used.has(pointer)),
    [],
  );
});

t.test('components have names that a person gave them, in order, so that changes are easy to read', async (t) => {
  const names = Object.keys(document.components.schemas);
  const isMadeUp = (name: string) => !/^[A-Z][A-Za-z]+$/.test(name) || /^Def\b|^Schema\d|__/.test(name);
  t.same(names.filter(isMadeUp), []);
  t.same(names, [...names].sort());
});

t.test('a component stands there once, and not for input and for output', async (t) => {
  const names = Object.keys(document.components.schemas);
  t.same(
    names.filter((name) => /(Input|Output)$/.test(name) && names.includes(name.replace(/(Input|Output)$/, ''))),
    [],
  );
});

/** The operations for which `offends`, by their names. */
function operationsThat(offends: (each: (typeof operations)[number]) => boolean): string[] {
  return operations.filter(offends).map(({ name }) => name);
}

/** All that any operation responds with. */
const responses = operations.flatMap(({ name, operation }) =>
  Object.entries<any>(operation.responses).map(([status, response]) => ({
    name: `${name} ${status}`,
    operation,
    status,
    response,
  })),
);

/** The parameters of an operation, wherever they are declared. */
function parametersOf(operation: any): any[] {
  return (operation.parameters ?? []).map(resolved);
}

function takes(operation: any, header: string): boolean {
  return parametersOf(operation).some(({ name }) => name === header);
}

t.test('every operation has a unique id', async (t) => {
  const ids = operations.map(({ operation }) => operation.operationId);
  t.same(
    ids.filter((id, at) => !/^[a-z]+(\.[a-z][A-Za-z]*)*$/.test(id) || ids.indexOf(id) !== at),
    [],
  );
});

t.test('every operation has one tag, which is described', async (t) => {
  const tags = document.tags.map(({ name }: { name: string }) => name);
  t.same(
    operationsThat(({ operation }) => operation.tags?.length !== 1 || !tags.includes(operation.tags[0])),
    [],
  );
});

t.test('every operation has a summary, a title without a full stop', async (t) => {
  t.same(
    operationsThat(({ operation }) => !/^[A-Z].*[^.]$/.test(operation.summary)),
    [],
  );
});

t.test('every operation has a description beside its summary', async (t) => {
  t.same(
    operationsThat(
      ({ operation: { summary, description = '' } }) => !/[.)]$/.test(description) || description === summary,
    ),
    [],
  );
  const ids = operations.map(({ operation }) => operation.operationId);
  t.same(
    Object.keys(descriptions).filter((id) => !ids.includes(id)),
    [],
    'no description is of an operation that is gone',
  );
  t.same(
    operationsThat(
      ({ operation: { operationId, description } }) =>
        operationId in descriptions && descriptions[operationId] !== description,
    ),
    [],
    'none has a description in both places',
  );
});

t.test('every parameter is described', async (t) => {
  t.same(
    operations.flatMap(({ name, operation }) =>
      parametersOf(operation)
        .filter(({ description, schema }) => !description && !resolved(schema).description)
        .map((parameter) => `${name}: ${parameter.name}`),
    ),
    [],
  );
});

t.test('every operation can succeed, and says what any other failure looks like', async (t) => {
  const canSucceed = (statuses: string[]) => statuses.some((status) => /^(2\d\d|101)$/.test(status));
  t.same(
    operationsThat(({ operation: { responses } }) => !canSucceed(Object.keys(responses)) || !('default' in responses)),
    [],
  );
});

t.test('every response has a status, and is described by us', async (t) => {
  const isDescribed = ({ $ref, description }: any) => $ref ?? (description && description !== 'Default Response');
  t.same(
    responses
      .filter(({ status, response }) => !/^([1-5]\d\d|default)$/.test(status) || !isDescribed(response))
      .map(({ name }) => name),
    [],
  );
});

t.test('failures are problems', async (t) => {
  const schemaOf = (response: any) => response.content?.['application/problem+json']?.schema;
  const failures = responses.filter(({ status }) => /^[45]/.test(status));
  t.ok(failures.length > 50, 'there are failures to look at');
  t.same(
    failures
      .filter(({ response }) => schemaOf(response)?.$ref !== '#/components/schemas/Problem')
      .map(({ name }) => name),
    [],
  );
});

t.test('every parameter in a path is declared as required, and no other', async (t) => {
  const inPath = (path: string) => [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]).sort();
  const declared = (operation: any) =>
    parametersOf(operation)
      .filter((parameter) => parameter.in === 'path' && parameter.required === true)
      .map(({ name }) => name)
      .sort();
  t.same(
    operationsThat(({ path, operation }) => `${inPath(path)}` !== `${declared(operation)}` || /[*:]/.test(path)),
    [],
  );
});

t.test('no operation has the same parameter twice', async (t) => {
  const namesOf = (operation: any) => parametersOf(operation).map((each) => `${each.in} ${each.name.toLowerCase()}`);
  t.same(
    operationsThat(({ operation }) => new Set(namesOf(operation)).size !== namesOf(operation).length),
    [],
  );
});

t.test('every parameter has a place, a schema that says something, and as a header the usual spelling', async (t) => {
  const isSound = (parameter: any) =>
    /^(path|query|header)$/.test(parameter.in) &&
    Object.keys(parameter.schema ?? {}).length > 0 &&
    (parameter.in !== 'header' || /^[A-Z]/.test(parameter.name));
  t.same(
    operationsThat(({ operation }) => !parametersOf(operation).every(isSound)),
    [],
  );
});

t.test('every body and response with a content has a media type, and a schema that says something', async (t) => {
  const isSound = ([type, { schema }]: [string, any]) =>
    /^([a-z*]+\/[a-z0-9.*+-]+)(;.*)?$/.test(type) && Object.keys(schema ?? {}).length > 0;
  const contentsOf = (operation: any) =>
    [operation.requestBody, ...Object.values<any>(operation.responses).map(resolved)].flatMap((part) =>
      Object.entries<any>(part?.content ?? {}),
    );
  t.same(
    operationsThat(({ operation }) => !contentsOf(operation).every(isSound)),
    [],
  );
});

t.test('raw bytes are binary, and may be none', async (t) => {
  const bytesOf = ({ requestBody }: any) => requestBody?.content?.['application/octet-stream'];
  const raw = operations.filter(({ operation }) => bytesOf(operation));
  t.ok(raw.length > 0, 'there are raw bodies');
  const isSound = (operation: any) =>
    operation.requestBody.required !== true &&
    bytesOf(operation).schema.type === 'string' &&
    bytesOf(operation).schema.format === 'binary';
  t.same(
    raw.filter(({ operation }) => !isSound(operation)).map(({ name }) => name),
    [],
  );
});

t.test('nothing is there that tools for clients do not know', async (t) => {
  const offends = (value: any) =>
    value?.prefixItems !== undefined || value?.items === false || Object.keys(value?.content ?? {}).includes('*/*');
  t.same(
    everything.filter(({ value }) => offends(value)).map(({ pointer }) => pointer),
    [],
  );
});

t.test('every operation has an example of what it takes and returns, and its schema allows it', async (t) => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema(document, 'openapi');
  const faults: string[] = [];
  const checkFirst = (pointer: string, content: Record<string, any> | undefined) => {
    const [type, media] = Object.entries(content ?? {})[0] ?? [];
    if (type === undefined) return;
    if (media.example === undefined) return void faults.push(`${pointer} has no example`);
    if (/event-stream/.test(type)) return;
    const schema = `openapi${pointer}/content/${type.replaceAll('/', '~1')}/schema`;
    if (!ajv.validate({ $ref: schema }, media.example)) faults.push(`${pointer}: ${ajv.errorsText(ajv.errors)}`);
  };
  for (const { pointer, value } of everything) {
    if (typeof value?.operationId !== 'string') continue;
    checkFirst(`${pointer}/requestBody`, value.requestBody?.content);
    const [status] =
      Object.entries<any>(value.responses).find(([code, { content }]) => /^2/.test(code) && content) ?? [];
    if (status !== undefined) checkFirst(`${pointer}/responses/${status}`, value.responses[status].content);
    for (const parameter of value.parameters ?? []) {
      if (parameter.in !== 'path') continue;
      const isValid = ajv.validate(parameter.schema, parameter.example);
      if (parameter.example === undefined || !isValid) faults.push(`${pointer}: example of ${parameter.name}`);
    }
  }
  t.same(faults, []);
  const ids = operations.map(({ operation }) => operation.operationId).sort();
  t.same(Object.keys(examples).sort(), ids, 'no operation is forgotten, and no example is left over');
});

t.test('an operation that takes an Idempotency-Key says so, and that its response may be a replay', async (t) => {
  const says = (operation: any) => /IDEMPOTENCY_KEY_REUSED/.test(operation.responses['422']?.description ?? '');
  t.ok(operations.filter(({ operation }) => says(operation)).length >= 3, 'there are such operations');
  t.same(
    operationsThat(({ operation }) => takes(operation, 'Idempotency-Key') !== says(operation)),
    [],
  );
  t.same(
    responses
      .filter(({ operation, status }) => says(operation) && /^2/.test(status))
      .filter(({ response }) => !response.headers?.['Idempotency-Replayed'])
      .map(({ name }) => name),
    [],
  );
});

t.test('headers of fences and producers stand at the routes that read them', async (t) => {
  for (const header of ['Weir-Fence', 'Weir-Producer']) {
    t.same(
      operations
        .filter(({ operation }) => takes(operation, header))
        .map(({ operation }) => operation.operationId)
        .sort(),
      ['records.produce', 'records.produceToPartition'],
      header,
    );
  }
});

t.test('every body says its limit', async (t) => {
  t.same(
    operationsThat(
      ({ operation: { requestBody } }) => requestBody && !/^At most \d+ [KM]iB/.test(requestBody.description),
    ),
    [],
  );
  t.notMatch(JSON.stringify(document), /x-declared/);
});

/** A repeat of these is carried out again: what they extend is a lease, or they say themselves which call they repeat. */
const repeatable = ['sessions.renew', 'sessions.renewSelf', 'groups.heartbeat', 'groups.consumeByPost'];

t.test(
  'every operation that writes takes an Idempotency-Key, but those that may be repeated as they are',
  async (t) => {
    const writes = (method: string) => ['post', 'put', 'patch', 'delete'].includes(method);
    t.same(
      operations
        .filter(({ method, operation }) => writes(method) && !takes(operation, 'Idempotency-Key'))
        .map(({ operation }) => operation.operationId)
        .sort(),
      [...repeatable].sort(),
    );
  },
);

t.test('headers of responses have a schema with a type', async (t) => {
  const headers = everything.filter(({ pointer }) =>
    /^#\/components\/headers\/[^/]+$|\/responses\/\w+\/headers\/[^/]+$/.test(pointer),
  );
  t.ok(headers.length > 20, 'there are headers to look at');
  t.same(
    headers.filter(({ value }) => typeof resolved(value).schema?.type !== 'string').map(({ pointer }) => pointer),
    [],
  );
});

/** Every part of a component's schema that is itself a schema. */
const schemaParts = everything.filter(
  ({ pointer, value }) =>
    pointer.startsWith('#/components/schemas/') &&
    typeof value === 'object' &&
    value !== null &&
    !/\/(properties|enum|required|examples|default|const|mapping)$/.test(pointer),
);

t.test('schemas use the words of JSON Schema 2020-12 only', async (t) => {
  const types = ['string', 'integer', 'number', 'boolean', 'object', 'array', 'null'];
  const isSound = (schema: any) =>
    [schema.type ?? []].flat().every((type) => types.includes(type)) &&
    !('nullable' in schema) &&
    !('x-fastify-zod-openapi-optional' in schema);
  t.same(
    schemaParts.filter(({ value }) => !isSound(value)).map(({ pointer }) => pointer),
    [],
  );
});

t.test('schemas require only properties that they have', async (t) => {
  const missing = (schema: any): string[] =>
    Array.isArray(schema.required)
      ? schema.required.filter((name: string) => !(name in (schema.properties ?? {})))
      : [];
  t.same(
    schemaParts.flatMap(({ pointer, value }) => missing(value).map((name) => `${pointer}: ${name}`)),
    [],
  );
});

t.test('every schema is a valid one of JSON Schema 2020-12, and can be compiled', async (t) => {
  // Formats are notes for readers; `discriminator` is a word of OpenAPI.
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema(document, 'openapi');
  const schemas = everything.filter(({ pointer }) => /^#\/components\/schemas\/\w+$|\/schema$/.test(pointer));
  t.ok(schemas.length > 100, 'there are schemas to look at');
  const faults = schemas.flatMap(({ pointer, value }) => {
    if (!ajv.validateSchema(value)) return [`${pointer}: ${ajv.errorsText(ajv.errors)}`];
    try {
      ajv.compile({ $ref: `openapi${pointer}` });
      return [];
    } catch (error) {
      return [`${pointer}: ${error}`];
    }
  });
  t.same(faults, []);
});

t.test('it says nothing of the machine that made it', async (t) => {
  t.notMatch(JSON.stringify(document), /localhost|127\.0\.0\.1|\/tmp\/|\/home\/|\/root\//);
});

function resolved(part: any): any {
  if (typeof part?.$ref !== 'string') return part;
  return everything.find(({ pointer }) => pointer === part.$ref)?.value;
}
