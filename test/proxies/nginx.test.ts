// See proxy-suite.ts.
import t from 'tap';
import { nginx } from './proxy-programs.ts';
import { testProxy } from './proxy-suite.ts';

await testProxy(t, nginx);
