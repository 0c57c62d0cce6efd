// Dialogs that create, copy, move and delete nodes.
import type { TreeNode } from '@weirkeeper/client';
import { useState } from 'preact/hooks';
import { urlOf } from '../live/nodes.ts';
import { useResource } from '../live/resource.ts';
import { api } from '../live/session.ts';
import { go, linkToNode } from '../router.ts';
import { Confirm, FormDialog } from '../ui/dialog.tsx';
import { Field, Select } from '../ui/form.tsx';
import { counted } from '../ui/format.ts';
import { Problem } from '../ui/parts.tsx';
import { tell } from '../ui/toasts.tsx';
import { parentOf } from './tree-model.ts';

/** What the server takes a text for. */
export const contentTypes = [
  { value: 'text/plain', text: 'Text' },
  { value: 'application/json', text: 'JSON' },
  { value: 'application/octet-stream', text: 'Bytes' },
] as const;

export type ContentType = (typeof contentTypes)[number]['value'];

/** Why a text is no JSON; undefined if it is, or need not be. */
export function jsonFault(text: string, contentType: string): string | undefined {
  if (contentType !== 'application/json') return undefined;
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return `This is no JSON: ${error instanceof Error ? error.message : error}`;
  }
}

export function pathFault(path: string): string | undefined {
  if (!path.startsWith('/')) return 'A path begins with a slash: /app/config.';
  if (path === '/' || path.endsWith('/') || path.includes('//')) return 'A path has a name behind each slash.';
  return undefined;
}

type Mode = 'persistent' | 'sequential' | 'container' | 'ttl';

export function CreateDialog({ parent, onClose }: { parent: string; onClose: () => void }) {
  const [path, setPath] = useState(parent === '/' ? '/' : `${parent}/`);
  const [data, setData] = useState('');
  const [mode, setMode] = useState<Mode>('persistent');
  const [ttl, setTtl] = useState('1h');
  const [contentType, setContentType] = useState<ContentType>('text/plain');
  const isPrefix = mode === 'sequential';
  const fault = isPrefix || path.endsWith('/') ? undefined : pathFault(path);
  const dataFault = jsonFault(data, contentType);
  const isReady = fault === undefined && dataFault === undefined && (isPrefix || !path.endsWith('/'));
  const create = async () => {
    const { tree } = api();
    const options = { contentType, parents: true };
    let made = path;
    if (isPrefix) made = (await tree.createSequential(path, data, options)).path;
    else if (mode === 'ttl') await tree.create(path, data, { ...options, mode, ttl: ttl as '1h' });
    else await tree.create(path, data, { ...options, mode });
    onClose();
    tell(`${made} is created`);
    go(linkToNode(made));
  };
  return (
    <FormDialog title="Create a node" submit="Create" onSubmit={create} onClose={onClose} isReady={isReady}>
      <Field
        label={isPrefix ? 'Path, to which a number is added' : 'Path'}
        value={path}
        onInput={setPath}
        error={fault}
        hint="Parents that do not exist are created as well."
        isMono
        isFocused
        isRequired
      />
      <Select<Mode>
        label="Kind"
        value={mode}
        onChange={setMode}
        options={[
          { value: 'persistent', text: 'Persistent: stays until it is deleted' },
          { value: 'sequential', text: 'Sequential: its name gets the next number' },
          { value: 'container', text: 'Container: deleted once it has become empty' },
          { value: 'ttl', text: 'TTL: deleted when it is not set for a time' },
        ]}
        hint="Ephemeral nodes belong to the session of a program, so they are made there."
      />
      {mode === 'ttl' && (
        <Field label="Time to live" value={ttl} onInput={setTtl} hint="Such as 30s, 15m, 1h." isMono />
      )}
      <Select label="Type of the data" value={contentType} onChange={setContentType} options={contentTypes} />
      <Field label="Data" value={data} onInput={setData} rows={6} error={dataFault} isMono />
    </FormDialog>
  );
}

export function TransferDialog({ path, isMove, onClose }: { path: string; isMove: boolean; onClose: () => void }) {
  const [to, setTo] = useState(isMove ? path : `${path}-copy`);
  const fault = pathFault(to) ?? (to.startsWith(`${path}/`) ? 'That is below the node itself.' : undefined);
  const transfer = async () => {
    const { nodes } = await api().tree.copy(path, to, { move: isMove });
    onClose();
    tell(isMove ? `${path} is ${to} now` : `${path} is copied`, counted(nodes, 'node'));
    go(linkToNode(to));
  };
  return (
    <FormDialog
      title={isMove ? `Rename ${path}` : `Duplicate ${path}`}
      submit={isMove ? 'Rename' : 'Duplicate'}
      onSubmit={transfer}
      onClose={onClose}
      isReady={fault === undefined && to !== path}
    >
      <Field
        label="New path"
        value={to}
        onInput={setTo}
        error={fault}
        hint={`With everything below it, in one transaction; the new parent must exist. ${isMove ? 'Watchers see it as deleted and created.' : 'Ephemeral nodes are left out.'}`}
        isMono
        isFocused
        isRequired
      />
    </FormDialog>
  );
}

interface CountedTree {
  tree: CountedNode;
  truncated: boolean;
}

interface CountedNode {
  children?: CountedNode[];
}

/** Nodes that are counted before a deletion; beyond them it says `more than`. */
const countMax = 10_000;

export function DeleteDialog({ node, onClose }: { node: TreeNode; onClose: () => void }) {
  const { path, stat } = node;
  const isSubtree = stat.numChildren > 0;
  const size = useResource(`count ${path}`, async (signal) => {
    const query = `view=tree&limit=${countMax}`;
    const { tree, truncated } = await api().request<CountedTree>({ path: `/v1/nodes${urlOf(path)}?${query}`, signal });
    return { nodes: sizeOf(tree), truncated };
  });
  if (size.error !== undefined) {
    return (
      <Confirm title={`Delete ${path}`} submit="Delete" onClose={onClose} onConfirm={remove} word={path}>
        <Problem error={size.error} />
      </Confirm>
    );
  }
  const nodes =
    size.data === undefined ? '…' : `${size.data.truncated ? 'more than ' : ''}${counted(size.data.nodes, 'node')}`;
  return (
    <Confirm
      title={isSubtree ? `Delete ${path} and all below it` : `Delete ${path}`}
      submit={isSubtree ? `Delete ${nodes}` : 'Delete'}
      onClose={onClose}
      onConfirm={remove}
      {...(isSubtree && { word: path })}
    >
      {isSubtree ? (
        <p>
          This deletes <b>{nodes}</b> in one transaction. It cannot be undone.
        </p>
      ) : (
        <p>It is deleted if nobody has changed it since it was shown here. This cannot be undone.</p>
      )}
    </Confirm>
  );

  async function remove(): Promise<void> {
    await api().tree.remove(path, isSubtree ? { recursive: true } : { mzxid: stat.mzxid });
    onClose();
    tell(`${path} is deleted`);
    go(linkToNode(parentOf(path)));
  }
}

function sizeOf({ children = [] }: CountedNode): number {
  return children.reduce((sum, child) => sum + sizeOf(child), 1);
}
