// Requests of commands: paths of nodes, and lists that come in pages.
import type { Cli } from './cli.ts';
import { usageError } from './errors.ts';

/** The path of a node as users write it: the first slash may be missing, and a last one is left out. */
export function nodePath(text: string): string {
  const path = text.startsWith('/') ? text : `/${text}`;
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

/** The path of a node below `path`. */
export function childPath(path: string, name: string): string {
  return path === '/' ? `/${name}` : `${path}/${name}`;
}

/** The path of a request about a node. */
export function nodeRequest(path: string, query: Query = {}): string {
  return `/v1/nodes${path.split('/').map(encodeURIComponent).join('/')}${queryText(query)}`;
}

/** The path of a request about a topic, a group or the like: `/v1/topics/orders`. */
export function resourcePath(kind: string, name: string, rest = ''): string {
  return `/v1/${kind}/${encodeURIComponent(name)}${rest}`;
}

export type Query = { readonly [name: string]: string | number | boolean | undefined };

/** A query with its question mark; what is undefined is left out. */
export function queryText(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.append(name, String(value));
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}

/** The pages of a list. @param path gives the path of a request for the page behind `after` */
export async function* pagesOf<Page extends { next?: string | undefined }>(
  cli: Cli,
  path: (after: string | undefined) => string,
): AsyncGenerator<Page, void, undefined> {
  let after: string | undefined;
  do {
    const page = await cli.json<Page>({ path: path(after) });
    yield page;
    after = page.next;
  } while (after !== undefined);
}

/** All items of a list that comes in pages. */
export async function allOf<Page extends { next?: string | undefined }, Item>(
  cli: Cli,
  path: (after: string | undefined) => string,
  itemsOf: (page: Page) => readonly Item[],
): Promise<Item[]> {
  const items: Item[] = [];
  for await (const page of pagesOf<Page>(cli, path)) items.push(...itemsOf(page));
  return items;
}

/** `name=value` pairs of options that may be given several times. */
export function pairs(texts: readonly string[], option: string): [name: string, value: string][] {
  return texts.map((text) => {
    const at = text.indexOf('=');
    if (at < 1) throw usageError(`${option} takes name=value, not "${text}".`);
    return [text.slice(0, at), text.slice(at + 1)];
  });
}
