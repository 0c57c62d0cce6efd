// tap has Node.js ask a hook about every module that a test file loads, for coverage and for mocks. There are none of either here, and
// with the server's many modules that is a second of each test file. .taprc has each of them import this first.
import module, { syncBuiltinESMExports } from 'node:module';

module.register = () => undefined as never;
syncBuiltinESMExports();
// This is for the test file alone: what it starts may run in another folder, and would not find this.
delete process.env.NODE_OPTIONS;
