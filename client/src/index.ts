// The client: everything but the recipes.
import type { WeirOptions } from './options.ts';
import { TreeClient } from './tree-client.ts';

export * from './tree-client.ts';

export class Weir extends TreeClient {
  /** A client with the URL and token of the environment: `WEIR_URL` (several with commas between them) and `WEIR_TOKEN`. */
  static fromEnv(options: Partial<WeirOptions> = {}): Weir {
    const { process } = globalThis as { process?: { env: { [name: string]: string | undefined } } };
    const { WEIR_URL: url = 'http://localhost:7070', WEIR_TOKEN: token } = process?.env ?? {};
    return new Weir({ url, ...(token !== undefined && { token }), ...options });
  }
}
