// Runs the commands of the README and of docs/concepts.md as a reader would: page by page, one block after the other in one
// shell, against a real server.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { startTestServer } from '../helpers/server.ts';

const run = promisify(execFile);
const root = projectRoot();

/** Blocks of a page that use curl. Blocks that only start the server or run a script of the repository are left out. */
function curlBlocks(page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8');
  const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1]!);
  return blocks.filter((block) => /\bcurl\b|^W=/m.test(block));
}

/** Reports the status of each response on the error output, and ends streams after a while, which curl calls 28. */
const shim = `
curl() {
  case " $* " in
    *' -N '*) command curl -sS --max-time 3 -w '%{stderr}status %{http_code}\\n' "$@" || [ $? = 28 ] ;;
    *) command curl -sS -w '%{stderr}status %{http_code}\\n' "$@" ;;
  esac
}
`;

t.test('the commands of the pages run unchanged', async (t) => {
  for (const page of ['README.md', 'docs/concepts.md']) {
    await t.test(page, async (t) => {
      const server = await startTestServer(t);
      const script = curlBlocks(page).join('\n').replaceAll('http://localhost:7070', server.url);
      t.ok(script.split('curl ').length > 10, 'it has commands');
      const { stderr } = await run('bash', ['-c', shim + script], { cwd: root, timeout: 90_000 });
      const lines = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('curl: (28)'));
      const statuses = lines.flatMap((line) => /^status (\d+)$/.exec(line)?.[1] ?? []);
      t.equal(statuses.length, lines.length, 'no command complains', { stderr: lines });
      t.same(
        statuses.filter((status) => !/^[23]/.test(status)),
        script.match(/(?<=# )4\d\d\b/g) ?? [],
        'exactly the commands whose comment names a refusal are refused',
      );
    });
  }
});
