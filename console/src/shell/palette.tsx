// The palette: finds pages, nodes by their path, topics and groups.
import { useEffect, useId, useMemo, useRef, useState } from 'preact/hooks';
import { readChildren, readStat } from '../live/nodes.ts';
import { api } from '../live/session.ts';
import { pages } from '../pages/pages.ts';
import { go, linkTo, linkToNode } from '../router.ts';
import { Icon, type IconName } from '../ui/icon.tsx';

interface Found {
  icon: IconName;
  text: string;
  note: string;
  link: string;
}

const foundMax = 12;
const namesMax = 1000;
const debounceMs = 80;

export function Palette({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const id = useId();
  const names = useNames();
  const nodes = useNodes(text);
  const found = useMemo(() => [...nodes, ...matches(text, names)].slice(0, foundMax), [text, names, nodes]);
  const current = Math.min(at, found.length - 1);
  useEffect(() => {
    const element = dialog.current;
    if (element && !element.open) element.showModal();
    return () => element?.close();
  }, []);
  const choose = (one: Found | undefined) => {
    if (!one) return;
    onClose();
    go(one.link);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step !== 0) setAt((found.length + current + step) % Math.max(1, found.length));
    else if (event.key === 'Enter') choose(found[current]);
    else return;
    event.preventDefault();
  };
  return (
    <dialog
      class="dialog palette"
      ref={dialog}
      aria-label="Search"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => {
        if (event.target === dialog.current) onClose();
      }}
      onKeyDown={onKeyDown}
    >
      <input
        class="palette-input"
        type="text"
        role="combobox"
        aria-label="Search for a page, a node, a topic or a group"
        aria-expanded="true"
        aria-controls={`${id}-list`}
        aria-activedescendant={found.length > 0 ? `${id}-${current}` : undefined}
        aria-autocomplete="list"
        placeholder="A page, a topic, a group, or /path/of/a/node"
        spellcheck={false}
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setAt(0);
        }}
      />
      <div class="palette-list" id={`${id}-list`} role="listbox" aria-label="Found">
        {found.map((one, index) => (
          <div
            key={one.link}
            id={`${id}-${index}`}
            class="palette-item"
            role="option"
            tabIndex={-1}
            aria-selected={index === current}
            onPointerMove={() => setAt(index)}
            onClick={() => choose(one)}
            onKeyDown={onKeyDown}
          >
            <Icon name={one.icon} />
            <span class="palette-text">{one.text}</span>
            <span class="hint">{one.note}</span>
          </div>
        ))}
      </div>
      {found.length === 0 && (
        <p class="palette-none hint">Nothing found. A text that begins with / is the path of a node.</p>
      )}
    </dialog>
  );
}

function matches(text: string, names: readonly Found[]): Found[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const all = [
    ...pages.map(({ id, title, icon, words: more }) => ({ icon, text: title, note: 'page', link: linkTo(id), more })),
    ...names.map((one) => ({ ...one, more: one.note })),
  ];
  return all.filter((one) => {
    const target = `${one.text} ${one.more}`.toLowerCase();
    return words.every((word) => target.includes(word));
  });
}

/** Topics and groups, read once when the palette opens. */
function useNames(): readonly Found[] {
  const [names, setNames] = useState<readonly Found[]>([]);
  useEffect(() => {
    let isOver = false;
    const { topics, groups } = api().admin;
    void Promise.allSettled([topics.list({ limit: namesMax }), groups.list({ limit: namesMax })]).then(([t, g]) => {
      if (isOver) return;
      setNames([
        ...(t.status === 'fulfilled' ? t.value.topics : []).map(({ name }) => ({
          icon: 'topics' as const,
          text: name,
          note: 'topic',
          link: linkTo('topics', [name]),
        })),
        ...(g.status === 'fulfilled' ? g.value.groups : []).map(({ groupId }) => ({
          icon: 'groups' as const,
          text: groupId,
          note: 'group',
          link: linkTo('groups', [groupId]),
        })),
      ]);
    });
    return () => {
      isOver = true;
    };
  }, []);
  return names;
}

/** Nodes whose path begins with the text, while it is typed. */
function useNodes(text: string): readonly Found[] {
  const [found, setFound] = useState<readonly Found[]>([]);
  useEffect(() => {
    setFound([]);
    if (!text.startsWith('/')) return undefined;
    const round = new AbortController();
    const timer = setTimeout(() => {
      void completions(text, round.signal).then(
        (paths) => {
          const all = paths.map((path) => ({
            icon: 'node' as const,
            text: path,
            note: 'node',
            link: linkToNode(path),
          }));
          if (!round.signal.aborted) setFound(all);
        },
        () => {},
      );
    }, debounceMs);
    return () => {
      clearTimeout(timer);
      round.abort();
    };
  }, [text]);
  return found;
}

async function completions(text: string, signal: AbortSignal): Promise<string[]> {
  const slash = text.lastIndexOf('/');
  const [parent, prefix] = [text.slice(0, slash) || '/', text.slice(slash + 1)];
  // The page of names behind the prefix begins with those that have it; the name itself is asked for separately.
  const [self, { children }] = await Promise.all([
    prefix === '' ? parent !== '/' : readStat(text, signal).then((stat) => stat !== undefined),
    readChildren(parent, { limit: foundMax, after: prefix === '' ? undefined : prefix, signal }),
  ]);
  const base = parent === '/' ? '' : parent;
  const below = children
    .map(({ name }) => name)
    .filter((name) => name.startsWith(prefix))
    .map((name) => `${base}/${name}`);
  return [...(self ? [prefix === '' ? parent : text] : []), ...below];
}
