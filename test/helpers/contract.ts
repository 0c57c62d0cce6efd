// Checks responses against the OpenAPI document: the status, the content type, the headers and the shape of the body must be
// documented.
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { Test } from 'tap';
import { openApiDocument } from '../../src/openapi-file.ts';
import { type HttpResponse, http } from './server.ts';

export interface Contract {
  /** Sends a request. @returns its response, which was checked against the document */
  call(
    t: Test,
    method: string,
    target: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<HttpResponse>;
  /** The documented successes of the operations with this tag that no call has had yet, such as `GET /v1/cluster 200`. */
  unseen(tag: string): string[];
}

/** The contract of the server at `url`. */
export async function contractOf(url: string): Promise<Contract> {
  const document: any = await openApiDocument();
  // Formats are not checked; the patterns and limits of the schemas are.
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  ajv.addSchema(document, 'openapi');
  const validators = new Map<string, ValidateFunction>();
  const seen = new Set<string>();

  const validator = (pointer: string): ValidateFunction => {
    const known = validators.get(pointer) ?? ajv.compile({ $ref: `openapi#${pointer}` });
    validators.set(pointer, known);
    return known;
  };

  return {
    async call(t, method, target, body, headers) {
      const response = await http(url + target, method, body, headers);
      const path = operationPath(document, target);
      const name = `${method} ${path} ${response.status}`;
      const operation = document.paths[path]?.[method.toLowerCase()];
      const status = operation?.responses[response.status] ? String(response.status) : 'default';
      const described = resolve(document, operation?.responses[status]);
      if (!t.ok(described, `${name} is documented`)) return response;
      if (status === 'default') t.ok(response.status >= 400, `${name}: only failures may be undocumented`);
      seen.add(name);

      for (const [header, given] of Object.entries<any>(described.headers ?? {})) {
        if (given.required) t.ok(response.headers.has(header), `${name} has the header ${header}`);
      }
      const content = described.content ?? {};
      const type = response.headers.get('content-type')?.split(';')[0] ?? '';
      if (Object.keys(content).length === 0) {
        t.equal(response.body, '', `${name} has no body`);
        return response;
      }
      const documented =
        type in content ? type : 'application/octet-stream' in content ? 'application/octet-stream' : undefined;
      if (!t.ok(documented, `${name} may be ${type}`)) return response;
      if (!/json$/.test(documented!)) return response;
      const where =
        operation.responses[status].$ref?.slice(1) ??
        pointerTo('paths', path, method.toLowerCase(), 'responses', status);
      const validate = validator(`${where}${pointerTo('content', documented!, 'schema')}`);
      t.ok(validate(response.body), `${name} is as documented`, { errors: validate.errors, body: response.body });
      return response;
    },

    unseen(tag) {
      return Object.entries<any>(document.paths).flatMap(([path, operations]) =>
        Object.entries<any>(operations)
          .filter(([, operation]) => operation.tags.includes(tag))
          .flatMap(([method, operation]) =>
            Object.keys(operation.responses)
              .filter((status) => /^2/.test(status))
              .map((status) => `${method.toUpperCase()} ${path} ${status}`),
          )
          .filter((name) => !seen.has(name)),
      );
    },
  };
}

function pointerTo(...parts: string[]): string {
  return parts.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function resolve(document: any, part: any): any {
  if (typeof part?.$ref !== 'string') return part;
  return part.$ref
    .slice(2)
    .split('/')
    .reduce((value: any, key: string) => value[key], document);
}

/** The documented path that matches a target; the most literal one, if several match. */
function operationPath(document: any, target: string): string {
  const [path] = target.split('?');
  const fits = Object.keys(document.paths).filter((template) => {
    // A node's path takes the rest of the URL, any other parameter one segment.
    const pattern = template
      .replace(/[.]/g, '\\.')
      .replace(/\{path\}/g, '.*')
      .replace(/\{[^}]+\}/g, '[^/]+');
    return new RegExp(`^${pattern}$`).test(path!);
  });
  return fits.sort((a, b) => a.split('{').length - b.split('{').length)[0] ?? path!;
}
