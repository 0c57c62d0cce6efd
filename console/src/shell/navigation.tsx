// The menu at the side; on narrow screens it lies above the page while it is open.
import { useEffect, useRef } from 'preact/hooks';
import { forgetToken, hasToken, identity } from '../live/session.ts';
import { pages } from '../pages/pages.ts';
import { linkTo, route } from '../router.ts';
import { Icon, type IconName, Logo } from '../ui/icon.tsx';
import { Button, IconButton } from '../ui/parts.tsx';
import { switchTheme, theme } from '../ui/theme.ts';

const groups = ['Cluster', 'Tree', 'Log'] as const;
/** What the server has beside the console. */
const documents = [
  { href: '../docs/guide/', title: 'Guide', icon: 'guide' },
  { href: '../docs', title: 'API', icon: 'code' },
] as const;

export function Navigation({ isOpen, onClose, onKeys }: { isOpen: boolean; onClose: () => void; onKeys: () => void }) {
  const element = useRef<HTMLElement>(null);
  const current = route.value.page;
  useEffect(() => {
    if (!isOpen) return undefined;
    element.current?.querySelector<HTMLElement>('a, button')?.focus();
    const closeOnEscape = (event: KeyboardEvent) => {
      if (event.key === 'Escape') onClose();
    };
    const closeOutside = (event: Event) => {
      if (!element.current?.contains(event.target as Node)) onClose();
    };
    document.addEventListener('keydown', closeOnEscape);
    document.addEventListener('pointerdown', closeOutside);
    return () => {
      document.removeEventListener('keydown', closeOnEscape);
      document.removeEventListener('pointerdown', closeOutside);
    };
  }, [isOpen, onClose]);
  const isDark = theme.value === 'dark';
  return (
    <nav class="shell-nav" aria-label="Pages" ref={element} data-open={isOpen}>
      <a class="brand" href={linkTo('')}>
        <Logo />
        Weirkeeper
      </a>
      {groups.map((group) => {
        const own = pages.filter((page) => page.group === group);
        if (own.length === 0) return null;
        return (
          <div class="nav-group" key={group}>
            <h2>{group}</h2>
            <ul>
              {own.map(({ id, title, icon }) => (
                <Entry key={id} href={linkTo(id)} isCurrent={current === id} title={title} icon={icon} />
              ))}
            </ul>
          </div>
        );
      })}
      <div class="nav-group">
        <h2>Read</h2>
        <ul>
          {documents.map(({ href, title, icon }) => (
            <Entry key={href} href={href} title={title} icon={icon} />
          ))}
        </ul>
      </div>
      <div class="nav-foot">
        <IconButton
          icon={isDark ? 'sun' : 'moon'}
          label={isDark ? 'Use light colours' : 'Use dark colours'}
          onClick={switchTheme}
        />
        <IconButton icon="keyboard" label="Show the keys" onClick={onKeys} />
        {identity.value !== undefined && hasToken() && (
          <Button icon="user" kind="quiet" onClick={() => void forgetToken()}>
            Sign out
          </Button>
        )}
        <span class="nav-close">
          <IconButton icon="close" label="Close the menu" onClick={onClose} />
        </span>
      </div>
    </nav>
  );
}

interface EntryProps {
  href: string;
  title: string;
  icon: IconName;
  isCurrent?: boolean;
}

function Entry({ href, title, icon, isCurrent = false }: EntryProps) {
  return (
    <li>
      <a href={href} aria-current={isCurrent ? 'page' : undefined}>
        <Icon name={icon} />
        {title}
      </a>
    </li>
  );
}
