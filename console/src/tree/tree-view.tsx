// The tree as rows: the ARIA tree pattern, with only the rows in view in the document.
import type { Stat } from '@weirkeeper/client';
import { useEffect, useState } from 'preact/hooks';
import { go, linkToNode } from '../router.ts';
import { compact } from '../ui/format.ts';
import { Icon, type IconName } from '../ui/icon.tsx';
import { Button } from '../ui/parts.tsx';
import { useVirtualRows } from '../ui/virtual-rows.ts';
import {
  branchOf,
  flashOf,
  isOpen,
  loadMore,
  nameOf,
  parentOf,
  revision,
  rows,
  setOpen,
  statOf,
  type TreeRow,
} from './tree-model.ts';

const rowPx = 30;
const overscan = 10;

/** @param selected the path whose node is shown beside the tree */
export function TreeView({ selected }: { selected: string }) {
  const [cursor, setCursor] = useState(selected);
  const all = rows.value;
  revision.value;
  const found = all.findIndex(({ path, kind }) => kind === 'node' && path === cursor);
  const at = found < 0 ? 0 : found;
  const { frame, onScroll, first, last, reveal, focus, moves } = useVirtualRows({
    count: all.length,
    rowPx,
    overscan,
    headRows: 0,
  });

  // Pages load as one gets to their place; not beside a node behind them, which they would push out of view.
  const wanted = all.slice(first, last).find(({ kind, path }) => kind === 'more' && !hasStrays(path))?.path;
  useEffect(() => {
    if (wanted !== undefined) void loadMore(wanted);
  }, [wanted, last]);

  const isThere = all.some(({ path }) => path === selected);
  useEffect(() => {
    setCursor(selected);
    const index = rows.peek().findIndex(({ path, kind }) => kind === 'node' && path === selected);
    if (index >= 0) reveal(index);
  }, [selected, isThere]);

  const moveTo = (index: number) => {
    const target = Math.max(0, Math.min(all.length - 1, index));
    const row = all[target];
    if (row?.kind !== 'node') return;
    setCursor(row.path);
    reveal(target);
    focus(target);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = all[at];
    if (!row) return;
    const { path } = row;
    const isLeaf = (statOf(path)?.numChildren ?? 0) === 0;
    const steps: Record<string, () => void> = {
      ...moves(at, moveTo),
      ArrowRight: () => {
        if (isLeaf) return;
        if (isOpen(path)) moveTo(at + 1);
        else setOpen(path, true);
      },
      ArrowLeft: () => {
        if (isOpen(path) && !isLeaf) setOpen(path, false);
        else moveTo(all.findIndex((each) => each.kind === 'node' && each.path === parentOf(path)));
      },
      Enter: () => go(linkToNode(path)),
      ' ': () => go(linkToNode(path)),
    };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    step();
  };

  return (
    <div class="tree" ref={frame} onScroll={onScroll}>
      <div
        role="tree"
        aria-label="Nodes"
        tabIndex={-1}
        style={{ height: `${all.length * rowPx}px` }}
        onKeyDown={onKeyDown}
      >
        {all.slice(first, last).map((row, offset) => {
          const index = first + offset;
          const place = { transform: `translateY(${index * rowPx}px)` };
          if (row.kind !== 'node') return <Rest key={`${row.path} ${row.kind}`} row={row} place={place} />;
          return (
            <Row
              key={row.path}
              row={row}
              index={index}
              place={place}
              isSelected={row.path === selected}
              isCursor={index === Math.min(Math.max(at, first), last - 1)}
            />
          );
        })}
      </div>
    </div>
  );
}

function Row({
  row: { path, depth, position },
  index,
  place,
  isSelected,
  isCursor,
}: {
  row: TreeRow;
  index: number;
  place: { transform: string };
  isSelected: boolean;
  isCursor: boolean;
}) {
  const stat = statOf(path);
  const children = stat?.numChildren ?? 0;
  const opened = isOpen(path);
  const siblings = path === '/' ? 1 : (statOf(parentOf(path))?.numChildren ?? position);
  return (
    <div
      class="tree-row"
      role="treeitem"
      data-row={index}
      data-path={path}
      data-flash={flashOf(path)}
      style={{ ...place, paddingLeft: `${8 + Math.min(depth, 20) * 16}px` }}
      tabIndex={isCursor ? 0 : -1}
      aria-level={depth + 1}
      aria-posinset={position}
      aria-setsize={Math.max(siblings, position)}
      aria-expanded={children > 0 ? opened : undefined}
      aria-selected={isSelected}
      onClick={(event) => {
        if ((event.target as Element).closest('.tree-toggle')) setOpen(path, !opened);
        else go(linkToNode(path));
      }}
      onDblClick={() => {
        if (children > 0) setOpen(path, !opened);
      }}
      onKeyDown={() => {}}
    >
      <span class="tree-toggle" data-open={opened} data-leaf={children === 0} aria-hidden="true">
        <Icon name="chevron" />
      </span>
      <Icon name={iconOf(path, stat?.mode, children)} />
      <span class="tree-name">{nameOf(path)}</span>
      {stat && stat.mode !== 'persistent' && <span class="badge">{stat.mode === 'ttl' ? 'TTL' : stat.mode}</span>}
      {children > 0 && (
        <span class="tree-count">
          {compact(children)}
          <span class="visually-hidden"> {children === 1 ? 'child' : 'children'}</span>
        </span>
      )}
    </div>
  );
}

/** Stands for the pages that were not read yet, or could not be. */
function Rest({ row: { path, depth, kind }, place }: { row: TreeRow; place: { transform: string } }) {
  const left = (statOf(path)?.numChildren ?? 0) - (branchOf(path)?.names.length ?? 0);
  return (
    <div class="tree-row tree-rest" role="none" style={{ ...place, paddingLeft: `${32 + Math.min(depth, 20) * 16}px` }}>
      {kind === 'more' && !hasStrays(path) ? (
        `${compact(Math.max(0, left))} more…`
      ) : (
        <Button kind="quiet" icon={kind === 'more' ? 'chevron' : 'refresh'} onClick={() => void loadMore(path)}>
          {kind === 'more' ? `${compact(Math.max(0, left))} more` : 'Not readable: try again'}
        </Button>
      )}
    </div>
  );
}

function hasStrays(path: string): boolean {
  return (branchOf(path)?.strays.length ?? 0) > 0;
}

function iconOf(path: string, mode: Stat['mode'] | undefined, children: number): IconName {
  if (path === '/') return 'tree';
  if (mode !== undefined && mode !== 'persistent') return mode;
  return children > 0 ? 'folder' : 'node';
}
