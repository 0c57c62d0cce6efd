// Where in the console the user is: `#/page/part/part?name=value`. It stands behind the `#`, so it reaches no server and no log, and the
// console works below any path.
import { signal } from '@preact/signals';

export interface Route {
  /** The first part, which names the page; '' is the overview. */
  page: string;
  /** The parts behind it, decoded. */
  parts: readonly string[];
  query: ReadonlyMap<string, string>;
}

export type QueryInput = Readonly<Record<string, string | number | undefined>>;

export const route = signal<Route>(parse(location.hash));

addEventListener('hashchange', () => {
  route.value = parse(location.hash);
});

/** The link to a page. What is undefined or '' in the query is left out. */
export function linkTo(page: string, parts: readonly string[] = [], query: QueryInput = {}): string {
  const path = [page, ...parts].map(encodeURIComponent).join('/');
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `#/${path}${search === '' ? '' : `?${search}`}`;
}

/** Shows another page. @param replace whether the browser's back button leaves out where the user is now */
export function go(link: string, { replace = false } = {}): void {
  if (replace) history.replaceState(null, '', link);
  else history.pushState(null, '', link);
  route.value = parse(link);
}

/** Changes the query of the current page, as filters do: without a step for the back button. */
export function setQuery(changes: QueryInput): void {
  const { page, parts, query } = route.peek();
  go(linkTo(page, parts, { ...Object.fromEntries(query), ...changes }), { replace: true });
}

/** The link to a node in the tree page. */
export function linkToNode(path: string, query: QueryInput = {}): string {
  return linkTo('tree', path === '/' ? [] : path.slice(1).split('/'), query);
}

function parse(hash: string): Route {
  const [path = '', search = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [page = '', ...parts] = path.split('/').map(decode);
  return { page, parts, query: new Map(new URLSearchParams(search)) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
