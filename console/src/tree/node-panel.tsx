// One node: its data, what its stat says in words, its history, and what can be done with it.
import type { Stat, TreeNode } from '@weirkeeper/client';
import { useState } from 'preact/hooks';
import { isReadOnly } from '../live/session.ts';
import { linkTo, linkToNode, route, setQuery } from '../router.ts';
import { copyText } from '../ui/clipboard.tsx';
import { BytesView } from '../ui/data-view.tsx';
import { bytes, count, counted, duration } from '../ui/format.ts';
import { useKeys } from '../ui/keys.ts';
import { Menu } from '../ui/menu.tsx';
import { Ago, Badge, Button, Choice, Empty, Panel, Problem } from '../ui/parts.tsx';
import { EditDialog } from './edit-dialog.tsx';
import { History } from './history.tsx';
import { CreateDialog, DeleteDialog, TransferDialog } from './node-dialogs.tsx';
import { readSnippets } from './snippets.ts';
import { ExportDialog, ImportDialog } from './transfer-dialogs.tsx';
import { ancestorsOf, nameOf } from './tree-model.ts';

/** Paths that only the server writes. */
const reserved = /^\/(admin|brokers|cluster|config|consumers|controller|controller_epoch)(\/|$)/;

type Tab = 'data' | 'history';
type Shown = 'create' | 'edit' | 'duplicate' | 'rename' | 'delete' | 'export' | 'import';

/** @param node undefined if there is none, @param error why it could not be read */
export function NodePanel({
  path,
  node,
  isLoading,
  error,
  onReload,
}: {
  path: string;
  node: TreeNode | undefined;
  isLoading: boolean;
  error: unknown;
  onReload: () => void;
}) {
  const [shown, setShown] = useState<Shown | undefined>(undefined);
  /** As it was when the user began to change it. */
  const [begun, setBegun] = useState<TreeNode | undefined>(undefined);
  const tab: Tab = route.value.query.get('tab') === 'history' ? 'history' : 'data';
  const close = () => setShown(undefined);
  const isOwn = !reserved.test(path);
  const mayWrite = !isReadOnly && isOwn;
  const show = (what: Shown) => {
    setBegun(node);
    setShown(what);
  };
  useKeys('This node', [
    { keys: 'c', does: 'copy the path', run: () => void copyText(path, 'The path') },
    ...(mayWrite
      ? [
          { keys: 'n', does: 'create a node below it', run: () => show('create') },
          { keys: 'e', does: 'edit its data', run: () => node && path !== '/' && show('edit') },
        ]
      : []),
  ]);
  return (
    <Panel
      title={<Path path={path} />}
      actions={
        <>
          {mayWrite && (
            <Button icon="plus" onClick={() => show('create')}>
              Create
            </Button>
          )}
          {mayWrite && node && path !== '/' && (
            <Button icon="edit" onClick={() => show('edit')}>
              Edit
            </Button>
          )}
          <Menu
            label="More"
            items={[
              ...(mayWrite && node && path !== '/'
                ? [
                    { text: 'Duplicate', icon: 'copy' as const, run: () => show('duplicate') },
                    { text: 'Rename', icon: 'right' as const, run: () => show('rename') },
                  ]
                : []),
              { text: 'Export', icon: 'download', run: () => show('export') },
              ...(mayWrite ? [{ text: 'Import', icon: 'upload' as const, run: () => show('import') }] : []),
              { text: 'Copy the path', icon: 'copy', run: () => void copyText(path, 'The path') },
              ...readSnippets(path).map(({ name, text }) => ({
                text: `Copy as ${name}`,
                icon: 'copy' as const,
                run: () => void copyText(text, `The ${name} command`),
              })),
              ...(mayWrite && node && path !== '/'
                ? [{ text: 'Delete', icon: 'trash' as const, run: () => show('delete'), isDangerous: true }]
                : []),
            ]}
          />
        </>
      }
    >
      <div class="node-body">
        {error !== undefined && <Problem error={error} onRetry={onReload} />}
        {!node && !isLoading && error === undefined && (
          <Empty icon="node" title="This node does not exist">
            {tab === 'history'
              ? 'Its history may tell why.'
              : 'It was deleted, or was never there. The page shows it as soon as it is created.'}
          </Empty>
        )}
        {!node && isLoading && <p class="hint">Reading the node…</p>}
        {node && <StatInWords stat={node.stat} isReserved={!isOwn} contentType={node.contentType} />}
        <Choice<Tab>
          label="What is shown of the node"
          value={tab}
          onChange={(next) => setQuery({ tab: next === 'data' ? undefined : next })}
          options={[
            { value: 'data', text: 'Data' },
            { value: 'history', text: 'History' },
          ]}
        />
        {tab === 'data' && node && <BytesView key={path} data={node.bytes} label={`Data of ${path}`} />}
        {tab === 'history' && <History path={path} node={node} />}
      </div>
      {shown === 'create' && <CreateDialog parent={path} onClose={close} />}
      {shown === 'edit' && begun && <EditDialog node={begun} current={node} onClose={close} />}
      {(shown === 'duplicate' || shown === 'rename') && (
        <TransferDialog path={path} isMove={shown === 'rename'} onClose={close} />
      )}
      {shown === 'delete' && begun && <DeleteDialog node={begun} onClose={close} />}
      {shown === 'export' && <ExportDialog path={path} onClose={close} />}
      {shown === 'import' && <ImportDialog path={path} onClose={close} />}
    </Panel>
  );
}

function Path({ path }: { path: string }) {
  return (
    <span class="node-path mono">
      {ancestorsOf(path).map((ancestor) => (
        <a key={ancestor} href={linkToNode(ancestor)}>
          {ancestor === '/' ? '/' : `${nameOf(ancestor)}/`}
        </a>
      ))}
      {nameOf(path)}
    </span>
  );
}

function kindOf({ mode, ttlMs = 0 }: Stat): string {
  switch (mode) {
    case 'ephemeral':
      return 'ephemeral: it is deleted when its session ends';
    case 'container':
      return 'container: it is deleted some time after its last child';
    case 'ttl':
      return `TTL: it is deleted when it has no children and was not set for ${duration(ttlMs)}`;
    default:
      return 'persistent: it stays until somebody deletes it';
  }
}

function StatInWords({ stat, isReserved, contentType }: { stat: Stat; isReserved: boolean; contentType: string }) {
  const { version, ctime, mtime, czxid, mzxid, pzxid, cversion, dataLength, numChildren, ephemeralOwner } = stat;
  return (
    <dl class="facts">
      <dt>Kind</dt>
      <dd>{kindOf(stat)}</dd>
      <dt>Data</dt>
      <dd>
        {bytes(dataLength)}
        {dataLength > 0 && ` of ${contentType}`}
      </dd>
      <dt>Created</dt>
      <dd>
        <Ago at={ctime} /> by transaction {count(czxid)}
      </dd>
      <dt>Data set</dt>
      <dd>
        {version === 0 ? (
          'never since'
        ) : (
          <>
            {counted(version, 'time')} since, last <Ago at={mtime} /> by transaction {count(mzxid)}
          </>
        )}
      </dd>
      <dt>Children</dt>
      <dd>
        {count(numChildren)}
        {cversion > 0 && `; ${counted(cversion, 'change')} of the list, last by transaction ${count(pzxid)}`}
      </dd>
      {ephemeralOwner !== null && (
        <>
          <dt>Lives with</dt>
          <dd>
            session <a href={linkTo('sessions', [ephemeralOwner])}>{ephemeralOwner}</a>
          </dd>
        </>
      )}
      {isReserved && (
        <>
          <dt>Written by</dt>
          <dd>
            <Badge>the service itself</Badge>
          </dd>
        </>
      )}
    </dl>
  );
}
