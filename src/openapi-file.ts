// Writes the OpenAPI document to a file: `node dist/src/openapi-file.js openapi.yaml`, or to `openapi.json` in the folder of the
// compiled program, from which a running server serves it. The application is built for it, but never connects to a store.
import { realpathSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { stringify } from 'yaml';
import { buildApp } from './app.ts';
import { Broker } from './broker/broker.ts';
import { loadConfig } from './config/config.ts';
import { describeRoutes } from './http/plugins/openapi.ts';
import { Store } from './store/store.ts';

/** The OpenAPI document. It depends only on the program, not on the machine, its clock or its environment. */
export async function openApiDocument(): Promise<Record<string, unknown>> {
  const invocation = loadConfig({}, []);
  if (invocation.kind !== 'run') throw new Error('The default configuration is not valid');
  const log = pino({ level: 'silent' });
  const store = new Store({ ...invocation.config, target: { socketPath: 'none' } }, log);
  const app = await buildApp(new Broker(invocation.config, store, { sole: false }, log), {}, describeRoutes);
  try {
    return app.swagger() as unknown as Record<string, unknown>;
  } finally {
    await app.close();
    await store.close();
  }
}

/** The text of openapi.yaml. */
export async function openApiYaml(): Promise<string> {
  return stringify(await openApiDocument(), { lineWidth: 120, aliasDuplicateObjects: false });
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const file = process.argv[2];
  if (file === undefined) throw new Error('Name the file to write: node dist/src/openapi-file.js openapi.yaml');
  writeFileSync(file, file.endsWith('.json') ? JSON.stringify(await openApiDocument()) : await openApiYaml());
}
