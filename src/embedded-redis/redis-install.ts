/**
 * Brings the distribution's own Redis, or Valkey, into a private folder (private-packages.ts). Which server is used in the end
 * is the business of redis-binary.ts.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { installPrivately, isExecutable, type PrivateInstallation } from './private-packages.ts';

/** Names of the server's package, the preferred one first; Debian keeps the binary itself in redis-tools. */
const serverPackages = [
  { name: 'redis-server', sisterPrefix: 'redis-' },
  { name: 'valkey-server', sisterPrefix: 'valkey-' },
];

/** Commands under which a distribution ships the server's binary without the server's package. */
const aliases = { 'redis-check-rdb': 'redis-server', 'valkey-check-rdb': 'valkey-server' };

/** Puts a usable server into `installDir`/redis, or rejects with the reason; several processes may call it at once. */
export async function installRedis(
  options: Pick<PrivateInstallation, 'installDir' | 'log' | 'searchPath' | 'usabilityProblem' | 'replace'>,
): Promise<void> {
  await installPrivately({
    ...options,
    name: 'redis',
    packages: serverPackages,
    programsIn: (root) => {
      const bin = join(root, 'usr/bin');
      const names = existsSync(bin) ? readdirSync(bin).filter((name) => name.endsWith('-server')) : [];
      return names.map((name) => join(bin, name));
    },
    fallback: async (draft) => aliasedServer(draft, options),
  });
}

/** Debian's tools package has the very same binary under another name: the server looks at the name it is called by. */
async function aliasedServer(
  draft: string,
  { searchPath, usabilityProblem }: Pick<PrivateInstallation, 'searchPath' | 'usabilityProblem'>,
): Promise<string | undefined> {
  for (const [disguise, name] of Object.entries(aliases)) {
    const binary = searchPath.map((folder) => join(folder, disguise)).find(isExecutable);
    if (binary === undefined) continue;
    const root = mkdtempSync(join(draft, 'root-'));
    mkdirSync(join(root, 'usr/bin'), { recursive: true });
    symlinkSync(binary, join(root, 'usr/bin', name));
    if ((await usabilityProblem(root)) === undefined) return root;
  }
  return undefined;
}
