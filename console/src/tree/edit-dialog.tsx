// Changes the data of a node, but only if nobody else has: then it shows both sides.
import { isWeirError, type TreeNode } from '@weirkeeper/client';
import { useState } from 'preact/hooks';
import { readNode } from '../live/nodes.ts';
import { api } from '../live/session.ts';
import { isUtf8 } from '../ui/data-view.tsx';
import { FormDialog } from '../ui/dialog.tsx';
import { Diff, inLines } from '../ui/diff.tsx';
import { Field, Select } from '../ui/form.tsx';
import { bytes, counted } from '../ui/format.ts';
import { Button } from '../ui/parts.tsx';
import { tell } from '../ui/toasts.tsx';
import { type ContentType, contentTypes, jsonFault } from './node-dialogs.tsx';

/** @param node as it was when the user began; @param current as it is now, live */
export function EditDialog({
  node,
  current,
  onClose,
}: {
  node: TreeNode;
  current: TreeNode | undefined;
  onClose: () => void;
}) {
  const isText = isUtf8(node.bytes);
  const [text, setText] = useState(isText ? node.text : '');
  const [file, setFile] = useState<Uint8Array | undefined>(undefined);
  const [contentType, setContentType] = useState<string>(node.contentType);
  const [base, setBase] = useState(node);
  const [theirs, setTheirs] = useState<TreeNode | undefined>(undefined);
  const fault = file ? undefined : jsonFault(text, contentType);
  const isStale = current !== undefined && current.stat.mzxid !== base.stat.mzxid && !theirs;
  const save = async () => {
    try {
      await api().tree.set(node.path, file ?? text, { mzxid: base.stat.mzxid, contentType });
    } catch (error) {
      if (!isWeirError(error, 'BAD_VERSION')) throw error;
      setTheirs(await readNode(node.path));
      throw error;
    }
    onClose();
    tell(`${node.path} is saved`);
  };
  const keepMine = () => {
    if (!theirs) return;
    setBase(theirs);
    setTheirs(undefined);
  };
  const takeTheirs = () => {
    if (!theirs) return;
    setText(theirs.text);
    setContentType(theirs.contentType);
    setFile(undefined);
    keepMine();
  };
  const types = contentTypes.some(({ value }) => value === contentType)
    ? contentTypes
    : [...contentTypes, { value: contentType as ContentType, text: contentType }];
  return (
    <FormDialog
      title={`Edit ${node.path}`}
      submit="Save"
      onSubmit={save}
      onClose={onClose}
      isReady={fault === undefined && !theirs && (isText || file !== undefined)}
      isWide
    >
      {isStale && (
        <p class="notice" role="status">
          Somebody else has set it to version {current.stat.version} since you began. Save shows both.
        </p>
      )}
      {theirs && (
        <section class="conflict">
          <h3>Theirs, and what yours would change</h3>
          <Diff
            before={inLines(theirs.text)}
            after={file ? `(${bytes(file.length)} of a file)` : inLines(text)}
            label="Theirs compared with yours"
          />
          <div class="toolbar">
            <Button onClick={keepMine}>Keep mine</Button>
            <Button onClick={takeTheirs}>Take theirs</Button>
            <span class="hint">
              Version {theirs.stat.version} is theirs; then you save again, over that version only.
            </span>
          </div>
        </section>
      )}
      <Select label="Type of the data" value={contentType as ContentType} onChange={setContentType} options={types} />
      {file ? (
        <p class="hint">{counted(file.length, 'byte')} of a file will be the data.</p>
      ) : isText ? (
        <Field label="Data" value={text} onInput={setText} rows={14} error={fault} isMono isFocused />
      ) : (
        <p class="hint">The data is no UTF-8 text: choose a file that replaces it.</p>
      )}
      <label class="check">
        <span>Or take the data of a file:</span>
        <input
          type="file"
          onChange={(event) => {
            const [chosen] = event.currentTarget.files ?? [];
            void chosen?.arrayBuffer().then((buffer) => setFile(new Uint8Array(buffer)));
          }}
        />
      </label>
    </FormDialog>
  );
}
