// Runs the programs of examples/node.
import { join } from 'node:path';
import t from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { startTestServer } from '../helpers/server.ts';
import { testExamples } from './example-suite.ts';

t.jobs = 4;

const { url } = await startTestServer(t);
testExamples(t, url, 'node', (program) => [process.execPath, join(projectRoot(), `examples/node/${program}.mjs`)]);
