// The tree, and one of its nodes beside it, both live.
import { isWeirError } from '@weirkeeper/client';
import { useEffect, useRef } from 'preact/hooks';
import { readNode } from '../live/nodes.ts';
import { useResource } from '../live/resource.ts';
import { useWatch } from '../live/watch.ts';
import { route } from '../router.ts';
import '../styles/tree.css';
import { NodePanel } from '../tree/node-panel.tsx';
import { applyTransaction, reloadTree, reveal, rows } from '../tree/tree-model.ts';
import { TreeView } from '../tree/tree-view.tsx';
import { PageHead } from '../ui/parts.tsx';

export default function Tree() {
  const path = `/${route.value.parts.join('/')}`;
  const node = useResource(`node ${path}`, async (signal) => (await readNode(path, signal)) ?? null);
  const shownPath = useRef(path);
  shownPath.current = path;
  useWatch('/', 'recursive', {
    transaction: (transaction) => {
      applyTransaction(transaction);
      if (transaction.events.some((event) => event.path === shownPath.current)) node.reload();
    },
    resync: () => {
      void reloadTree().then(() => reveal(shownPath.current));
      node.reload();
    },
  });
  useEffect(() => {
    void reveal(path);
  }, [path]);
  // The place of a node that one may not read, or whose name is not valid, shows why.
  const error = isWeirError(node.error, 'NO_NODE') ? undefined : node.error;
  return (
    <>
      <PageHead title="Tree" />
      <div class="tree-page">
        <section class="panel" aria-label="Tree of nodes">
          {rows.value.length > 0 && <TreeView selected={path} />}
        </section>
        <NodePanel
          key={path}
          path={path}
          node={node.data ?? undefined}
          isLoading={node.isLoading && node.data === undefined}
          error={error}
          onReload={node.reload}
        />
      </div>
    </>
  );
}
