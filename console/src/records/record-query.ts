// Which records of a topic are shown: what the fields of the page say, as a part of its URL, and as requests to the server.

/** latest: the newest first. The others: from there on, the oldest first. */
type StartName = 'latest' | 'earliest' | 'time' | 'offset';

export interface RecordQuery {
  start: StartName;
  /** For `time`: ms since the epoch. */
  at: number | undefined;
  /** For `offset`. */
  offset: number | undefined;
  /** One partition, or undefined for all. */
  partition: number | undefined;
  /** The whole key, or ''. */
  key: string;
  /** A part of the key, the value or the headers, or ''. */
  contains: string;
}

export const startNames: readonly StartName[] = ['latest', 'earliest', 'time', 'offset'];

/** Reads the query of a URL. What makes no sense there is left out, as a link may be old. */
export function parseRecordQuery(query: ReadonlyMap<string, string>): RecordQuery {
  const from = query.get('from');
  const start = startNames.find((name) => name === from) ?? 'latest';
  return {
    start,
    at: start === 'time' ? wholeNumber(query.get('at')) : undefined,
    offset: start === 'offset' ? wholeNumber(query.get('offset')) : undefined,
    partition: wholeNumber(query.get('partition')),
    key: query.get('key') ?? '',
    contains: query.get('contains') ?? '',
  };
}

/** The query of the URL that shows the same; what is as without it is undefined, so that the URL stays short. */
export function recordQueryInput(query: RecordQuery): Record<string, string | number | undefined> {
  const { start, at, offset, partition, key, contains } = query;
  return {
    from: start === 'latest' ? undefined : start,
    at: start === 'time' ? at : undefined,
    offset: start === 'offset' ? offset : undefined,
    partition,
    key: key || undefined,
    contains: contains || undefined,
  };
}

/** What keeps the query from being asked, as a text for the user; undefined if nothing does. */
export function missingIn({ start, at, offset, partition }: RecordQuery): string | undefined {
  if (start === 'time' && at === undefined) return 'Enter the time from which records are shown.';
  if (start !== 'offset') return undefined;
  if (partition === undefined) return 'Choose a partition: offsets count within one.';
  return offset === undefined ? 'Enter the offset of the first record, a whole number from 0.' : undefined;
}

/**
 * The path of the search for a page of records.
 * @param next the `next` of the page before, to go on
 * @param limit how many records the page has at most
 */
export function searchPath(topic: string, query: RecordQuery, limit: number, next?: string): string {
  const { start, at, offset, partition, key, contains } = query;
  const parameters = new URLSearchParams();
  if (start === 'latest') parameters.set('last', String(limit));
  else {
    parameters.set('timestamp', String(start === 'time' ? (at ?? 0) : 0));
    parameters.set('limit', String(limit));
  }
  const position = next ?? (start === 'offset' && partition !== undefined ? `${partition}:${offset ?? 0}` : undefined);
  // A position names the partitions.
  if (position !== undefined) parameters.set('position', position);
  else if (partition !== undefined) parameters.set('partition', String(partition));
  if (key !== '') parameters.set('key', key);
  if (contains !== '') parameters.set('contains', contains);
  return `/v1/topics/${encodeURIComponent(topic)}/records?${parameters}`;
}

/** The path of the tail of a topic, for the records that are appended from now on. */
export function tailPath(topic: string, { partition }: Pick<RecordQuery, 'partition'>): string {
  const parameters = partition === undefined ? '' : `?partition=${partition}`;
  return `/v1/topics/${encodeURIComponent(topic)}/stream${parameters}`;
}

/** The value of an `<input type="datetime-local">`, in the time zone of the user. */
export function localTimeOf(at: number | undefined): string {
  if (at === undefined) return '';
  const shifted = new Date(at - new Date(at).getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19);
}

/** @returns ms since the epoch; undefined if the text is no time */
export function timeOfLocal(text: string): number | undefined {
  const at = new Date(text).getTime();
  return text === '' || Number.isNaN(at) ? undefined : at;
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
