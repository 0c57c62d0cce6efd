// Runs scripts in the order of the calls. The commands that ioredis defines for scripts do not: when Redis has lost a script
// (SCRIPT FLUSH, or its eviction), they send it again, behind the calls that were sent meanwhile.
import type { Redis } from 'ioredis';
import type { Script, ScriptArguments } from '../scripts.ts';

export class OrderedScripts {
  /** By connection, the scripts that were sent on it in full, so that Redis has them. */
  readonly #loaded = new WeakMap<object, Set<Script>>();

  /**
   * Runs a script behind all that were called before it on the same client. Nothing is repeated.
   * @param key the one key that the script declares
   * @returns its reply; rejects with an error NOSCRIPT if Redis has lost the script: nothing was done, and a later call loads it
   */
  async send(client: Redis, script: Script, key: string, args: ScriptArguments): Promise<unknown> {
    // A client that is not connected has no stream, and rejects the command.
    const loaded = this.#loadedOn(client.stream ?? client);
    const isLoaded = loaded.has(script);
    // EVAL loads the script where it stands in the order, and needs no permission for SCRIPT LOAD.
    loaded.add(script);
    try {
      return await (isLoaded
        ? client.callBuffer('EVALSHA', script.sha, 1, key, ...args)
        : client.callBuffer('EVAL', script.lua, 1, key, ...args));
    } catch (error) {
      // A refused EVAL may not have loaded it either.
      if (!isLoaded || isMissingScript(error)) loaded.delete(script);
      throw error;
    }
  }

  #loadedOn(connection: object): Set<Script> {
    let loaded = this.#loaded.get(connection);
    if (!loaded) {
      loaded = new Set();
      this.#loaded.set(connection, loaded);
    }
    return loaded;
  }
}

function isMissingScript(error: unknown): boolean {
  return error instanceof Error && /^-?NOSCRIPT\b/.test(error.message);
}
