/**
 * Installs the distribution's Redis or Valkey into a private folder (private-packages.ts). redis-binary.ts chooses the server to use.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { installPrivately, isExecutable, type PrivateInstallation } from './private-packages.ts';

/** The packages with the server, the preferred one first. In Debian, the binary is in redis-tools, on which redis-server depends. */
const serverPackages = [
  { name: 'redis-server', sisterPrefix: 'redis-' },
  { name: 'valkey-server', sisterPrefix: 'valkey-' },
];

/** Other names of the server's binary, which are installed without the server's package; by name, the server that it is. */
const aliases = { 'redis-check-rdb': 'redis-server', 'valkey-check-rdb': 'valkey-server' };

/** Installs a usable server into `installDir`/redis. Several processes may call it at once. @throws Error with the reason */
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

/** Links the server to its binary under another name, as in Debian's redis-tools: the binary acts by the name it is called with. */
async function aliasedServer(
  draft: string,
  { searchPath, usabilityProblem }: Pick<PrivateInstallation, 'searchPath' | 'usabilityProblem'>,
): Promise<string | undefined> {
  for (const [alias, name] of Object.entries(aliases)) {
    const binary = searchPath.map((folder) => join(folder, alias)).find(isExecutable);
    if (binary === undefined) continue;
    const root = mkdtempSync(join(draft, 'root-'));
    mkdirSync(join(root, 'usr/bin'), { recursive: true });
    symlinkSync(binary, join(root, 'usr/bin', name));
    if ((await usabilityProblem(root)) === undefined) return root;
  }
  return undefined;
}
