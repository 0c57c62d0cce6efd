// Pages of lists for a client that may not see all that is in them. A page must not name what it may not see, nor where to go on.
import { ServiceError } from '../core/service-error.ts';

interface Page {
  children: readonly { name: string }[];
  /** The name after which the next page begins; undefined if this is the last one. */
  next: string | undefined;
}

interface PageRequest {
  after?: string | undefined;
  limit: number;
  stats?: boolean;
}

/** Names that one request passes over at most. A client that meets more of them must name where to go on. */
const passedOverMax = 10_000;
/** How many names are read at once when the first page has hidden ones. */
const readAtOnce = 1000;

/** Whether a page can be shown without its hidden names: they tell where the next one begins, unless there is none. */
export function isShowable(page: Page, mayRead: (name: string) => boolean): boolean {
  return page.next === undefined || page.children.every(({ name }) => mayRead(name));
}

/**
 * Reads a page of the children that a client may read. Its `next` is the last of them.
 * @returns the first page that was read, with other children; so its stat and zxid are those of the first read
 * @throws ServiceError TOO_LARGE if too many that it may not read are behind each other
 */
export async function readableChildren<P extends Page>(
  read: (page: PageRequest) => Promise<P>,
  request: PageRequest,
  mayRead: (name: string) => boolean,
): Promise<P> {
  const first = await read(request);
  const visible = first.children.filter(({ name }) => mayRead(name));
  let { next } = first;
  let passedOver = first.children.length - visible.length;
  while (next !== undefined && visible.length < request.limit && passedOver > 0) {
    if (passedOver > passedOverMax) {
      if (visible.length > 0) break;
      throw new ServiceError(
        'TOO_LARGE',
        `More than ${passedOverMax} names one after the other may not be read. Send one that may be, or one before it, as after.`,
      );
    }
    const page: P = await read({ ...request, after: next, limit: readAtOnce });
    const more = page.children.filter(({ name }) => mayRead(name)).slice(0, request.limit - visible.length);
    const last = more.at(-1);
    const isFull = visible.length + more.length === request.limit;
    visible.push(...more);
    passedOver += page.children.length - more.length;
    next = page.next ?? (isFull && last?.name !== page.children.at(-1)?.name ? last?.name : undefined);
  }
  return { ...first, children: visible, next: next === undefined ? undefined : visible.at(-1)?.name };
}

/** A place in a list by time, as store/place-by-time.ts has it. */
interface Place {
  time: number;
  id: string;
}

/** Behind the ids of all things. */
const lastId = 'z';

/**
 * Reads a page of a list by time with the items that a client may see.
 * @param read reads one page; `placeOf` is where an item stands
 * @returns `next` = the place of the last item of the page; beyond 10,000 hidden ones that of a hidden one, without its id
 */
export async function visiblePage<T>(
  read: (after: Place | undefined, limit: number) => Promise<{ items: readonly T[]; next: Place | undefined }>,
  { after, limit }: { after: Place | undefined; limit: number },
  mayShow: (item: T) => boolean,
  placeOf: (item: T) => Place,
): Promise<{ items: T[]; next: Place | undefined }> {
  const items: T[] = [];
  let passedOver = 0;
  for (let from = after; ; ) {
    const page = await read(from, passedOver > 0 ? readAtOnce : limit);
    const visible = page.items.filter(mayShow);
    passedOver += page.items.length - visible.length;
    items.push(...visible.slice(0, limit - items.length + 1));
    // One more than the page has tells that there is a next one, without a look at what is hidden.
    if (items.length > limit) return { items: items.slice(0, limit), next: placeOf(items[limit - 1] as T) };
    if (page.next === undefined) return { items, next: undefined };
    if (passedOver === 0 && items.length === limit) return { items, next: page.next };
    if (passedOver > passedOverMax) return { items, next: { time: page.next.time - 1, id: lastId } };
    from = page.next;
  }
}
