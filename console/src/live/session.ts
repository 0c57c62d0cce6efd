// What connects the page with its broker: one client for requests over HTTP, and one for watches, which has the only WebSocket of the
// tab and is closed while nobody looks.
import { batch, computed, effect, signal } from '@preact/signals';
import { type AccessOfCaller, Admin } from '@weirkeeper/client/log';
import { type ClientEvent, isWeirError, TreeClient, type WeirOptions } from '@weirkeeper/client/tree';

/** Whether the server offers a console that changes anything. */
export const isReadOnly = document.querySelector<HTMLMetaElement>('meta[name="weir-console"]')?.content === 'read-only';

/** live: what is shown is what is. reconnecting: the server does not respond. */
export type Connection = 'connecting' | 'live' | 'reconnecting';

export const connection = signal<Connection>('connecting');
/** When the connection was lost, ms since the epoch. */
export const lostAt = signal<number | undefined>(undefined);
export const isPaused = signal(false);
const isHidden = signal(document.hidden);

/** unknown: not asked yet. needed: the server wants a token, or another one. */
export const access = signal<'unknown' | 'needed' | 'granted'>('unknown');
export const identity = signal<AccessOfCaller | undefined>(undefined);
/** Why the last token was refused. */
export const tokenRefusal = signal<string | undefined>(undefined);

/** Whether the page follows what happens: somebody looks, has not paused it, and may. */
export const isActive = computed(() => !isHidden.value && !isPaused.value && access.value === 'granted');

/** Whether there is somebody to ask. */
export const isReachable = computed(() => isActive.value && connection.value !== 'reconnecting');

const tokenKey = 'weir-console-token';
let token = sessionStorage.getItem(tokenKey) ?? undefined;
/** Below the origin, if a proxy has added a prefix. */
const base = new URL('..', location.href).href;
let requests: ConsoleClient | undefined;
let watches: TreeClient | undefined;

/** What the console uses of the client: without producers and consumers, which would be loaded with it. */
class ConsoleClient extends TreeClient {
  get admin(): Admin {
    return new Admin(this.http);
  }
}

/** The client for requests. A refusal that may pass is tried for some seconds only: somebody waits. */
export function api(): ConsoleClient {
  requests ??= new ConsoleClient({ ...settings(), webSocket: null, retry: { for: '6s', maxDelay: '1s' } });
  return requests;
}

/** The client for watches. */
export function watchClient(): TreeClient {
  watches ??= new TreeClient({ ...settings(), retry: { for: '1h', maxDelay: '2s' }, onEvent: heard });
  return watches;
}

function settings(): WeirOptions {
  return { url: base, ...(token !== undefined && { token }) };
}

function heard(event: ClientEvent): void {
  if (event.type === 'connected') setConnection('live');
  else if (event.type === 'disconnected') setConnection('reconnecting');
}

/** Shows whether the server responds: its streams and requests call this when they connect, and when they fail. */
export function setConnection(state: Connection): void {
  if (connection.peek() === state) return;
  batch(() => {
    connection.value = state;
    lostAt.value = state === 'reconnecting' ? (lostAt.peek() ?? Date.now()) : undefined;
  });
}

/** The server has refused the credentials. */
export function tokenNeeded(reason: string): void {
  batch(() => {
    tokenRefusal.value = token === undefined ? undefined : reason;
    access.value = 'needed';
  });
}

/** Tries a token. @param isKept until the tab is closed, over reloads; else it is forgotten with the page */
export async function useToken(text: string, isKept: boolean): Promise<void> {
  token = text;
  if (isKept) sessionStorage.setItem(tokenKey, text);
  else sessionStorage.removeItem(tokenKey);
  await reopen();
}

export async function forgetToken(): Promise<void> {
  token = undefined;
  sessionStorage.removeItem(tokenKey);
  identity.value = undefined;
  await reopen();
}

export function hasToken(): boolean {
  return token !== undefined;
}

async function reopen(): Promise<void> {
  void requests?.close();
  requests = undefined;
  access.value = 'unknown';
  closeWatches();
  await askAccess();
}

function closeWatches(): void {
  void watches?.close();
  watches = undefined;
}

/** Asks who the user is, until the server responds. */
async function askAccess(): Promise<void> {
  for (;;) {
    try {
      const me = await api().admin.access.me();
      batch(() => {
        identity.value = me;
        tokenRefusal.value = undefined;
        access.value = 'granted';
      });
      return;
    } catch (error) {
      if (isWeirError(error, 'CLOSED')) return;
      if (isWeirError(error, 'AUTH_REQUIRED')) return tokenNeeded(error.detail);
      setConnection('reconnecting');
    }
  }
}

/** Begins, and follows whether somebody looks. */
export function startSession(): void {
  document.addEventListener('visibilitychange', () => {
    isHidden.value = document.hidden;
  });
  effect(() => {
    if (!isActive.value) closeWatches();
  });
  void askAccess();
}
