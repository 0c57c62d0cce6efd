// The frame of the console: navigation, the head with what is always visible, the page, and what lies above it.
import { type ComponentType, Fragment } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { useCluster } from '../live/cluster.ts';
import { access, connection, isPaused } from '../live/session.ts';
import { type PageSpec, pageOf, pages } from '../pages/pages.ts';
import { go, linkTo, route } from '../router.ts';
import { startKeys, useKeys } from '../ui/keys.ts';
import { Empty, Problem } from '../ui/parts.tsx';
import { startTheme, switchTheme } from '../ui/theme.ts';
import { Toasts } from '../ui/toasts.tsx';
import { Head } from './head.tsx';
import { KeyHelp } from './key-help.tsx';
import { Navigation } from './navigation.tsx';
import { Palette } from './palette.tsx';
import { SignIn } from './sign-in.tsx';

startTheme();
startKeys();

export function App() {
  const [open, setOpen] = useState<'palette' | 'keys' | 'menu' | undefined>(undefined);
  const close = () => setOpen(undefined);
  useCluster();
  useKeys('Everywhere', [
    { keys: 'Ctrl+k', does: 'search', run: () => setOpen('palette') },
    { keys: '/', does: 'search', run: () => setOpen('palette') },
    { keys: '?', does: 'show the keys', run: () => setOpen('keys') },
    { keys: 'Space', does: 'pause, or go on', run: togglePause },
    { keys: 'g d', does: 'dark or light', run: switchTheme },
    ...pages.map(({ id, title, key }) => ({ keys: `g ${key}`, does: `go to ${title}`, run: () => go(linkTo(id)) })),
  ]);
  useEffect(close, [route.value]);
  return (
    <Fragment>
      <button class="skip-link" type="button" onClick={skip}>
        Skip to the page
      </button>
      <div class="shell">
        <Navigation isOpen={open === 'menu'} onClose={close} onKeys={() => setOpen('keys')} />
        <Head onMenu={() => setOpen('menu')} onSearch={() => setOpen('palette')} onPause={togglePause} />
        <Main />
      </div>
      {open === 'palette' && <Palette onClose={close} />}
      {open === 'keys' && <KeyHelp onClose={close} />}
      {access.value === 'needed' && <SignIn />}
      <Toasts />
    </Fragment>
  );
}

function togglePause(): void {
  isPaused.value = !isPaused.peek();
}

function skip(): void {
  document.getElementById('main')?.focus();
}

/** The page that the route names. It is loaded when it is shown first. */
function Main() {
  const { page: id } = route.value;
  const page = pageOf(id);
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = page ? `${page.title} · Weirkeeper` : 'Weirkeeper';
    // Not on arrival: a reader begins at the top of the document.
    if (!isFirst.current) main.current?.focus({ preventScroll: true });
    isFirst.current = false;
  }, [id]);
  return (
    <main class="shell-main" id="main" ref={main} tabIndex={-1}>
      {!page && (
        <Empty icon="search" title="There is no such page" action={<a href={linkTo('')}>Go to the overview</a>} />
      )}
      {page && access.value === 'granted' && <Loaded key={page.id} page={page} />}
      {page && access.value === 'unknown' && <Waiting />}
    </main>
  );
}

function Loaded({ page }: { page: PageSpec }) {
  const [Shown, setShown] = useState<ComponentType | undefined>(undefined);
  const [error, setError] = useState<unknown>(undefined);
  useEffect(() => {
    page.load().then(
      (module) => setShown(() => module.default),
      (failure: unknown) => setError(failure),
    );
  }, [page]);
  if (error !== undefined) {
    const detail =
      'A part of the console could not be loaded. A new version of the server has other files: reload the page.';
    return <Problem error={new Error(detail)} onRetry={() => location.reload()} />;
  }
  return Shown ? <Shown /> : <p class="hint late">Loading the page…</p>;
}

function Waiting() {
  if (connection.value !== 'reconnecting') return null;
  return (
    <Empty icon="refresh" title="The server does not respond">
      The page goes on trying. If you have just started the server, it may be loading its data.
    </Empty>
  );
}
