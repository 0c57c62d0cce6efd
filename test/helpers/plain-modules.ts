// tap installs a module hook for coverage and mocks, which Node.js calls for every module of a test file. These tests use neither,
// and with the many modules of the server the hook costs a second per test file. By .taprc each test file imports this module first.
import module, { syncBuiltinESMExports } from 'node:module';

module.register = () => undefined as never;
syncBuiltinESMExports();
// Only for the test file itself: its child processes may run in another folder, and would not find this module.
delete process.env.NODE_OPTIONS;
