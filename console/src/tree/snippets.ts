// Commands and code that do what the page shows, to be copied.
import { urlOf } from '../live/nodes.ts';

const origin = () => new URL('..', location.href).href.replace(/\/$/, '');

/** A word for a shell, in quotes where it needs them. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export function readSnippets(path: string): { name: string; text: string }[] {
  return [
    { name: 'curl', text: `curl ${shellWord(`${origin()}/v1/nodes${urlOf(path)}`)}` },
    { name: 'weir', text: `weir get ${shellWord(path)}` },
    {
      name: 'TypeScript',
      text: `const node = await weir.tree.get(${JSON.stringify(path)});\nconsole.log(node?.text);`,
    },
  ];
}
