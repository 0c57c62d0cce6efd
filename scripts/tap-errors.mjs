// Takes the place of the package async-hook-domain in the tap of the compiled tests (scripts/bundle-packages.mjs). That package follows
// every promise and every handle of a process, to know which test an error without a handler belongs to: a tenth of the CPU of all tests.
// Here such an error belongs to the test that runs, or to the last one of those that run at once.

/** What tap makes for each test; `onerror` fails the test. */
export class Domain {
  destroyed = false;

  /** @param {(error: unknown, origin: string) => void} onerror */
  constructor(onerror) {
    this.onerror = onerror;
  }

  destroy() {
    this.destroyed = true;
  }
}

/**
 * Fails the test that runs when an error has no handler.
 * @param root tap's test of the whole process
 */
export function failOnErrors(root) {
  process.on('uncaughtException', (error, origin) => {
    let test = root;
    while (test.activeSubtests.size > 0) test = [...test.activeSubtests].at(-1);
    // All tests have ended: it is left to Node.js, which ends the process.
    if (test.hookDomain.destroyed) throw error;
    test.hookDomain.onerror(error, origin);
  });
}
