// Dialogs: the browser's own, which keeps the focus within and returns it; and questions before what cannot be undone.
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { Field } from './form.tsx';
import { Button, IconButton, Problem } from './parts.tsx';

/** A modal dialog while it is rendered. @param onClose the user has closed it; render it no more */
export function Dialog({
  title,
  children,
  onClose,
  isWide = false,
}: {
  title: string;
  children: ComponentChildren;
  onClose: () => void;
  isWide?: boolean;
}) {
  const element = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const dialog = element.current;
    if (dialog && !dialog.open) dialog.showModal();
    // The browser gives the focus to the first button, which closes the dialog.
    dialog?.querySelector<HTMLElement>('[data-focused]')?.focus();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      class="dialog"
      ref={element}
      data-wide={isWide}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <div class="dialog-head">
        <h2 id={titleId}>{title}</h2>
        <IconButton icon="close" label="Close" onClick={onClose} />
      </div>
      <div class="dialog-body">{children}</div>
    </dialog>
  );
}

/** A form in a dialog: it stays open with the reason if the server refuses. */
export function FormDialog({
  title,
  submit,
  onSubmit,
  onClose,
  children,
  isDangerous = false,
  isReady = true,
  isWide = false,
}: {
  title: string;
  /** The text of its button: a verb. */
  submit: string;
  /** Does it. The dialog is closed by its owner when this is done. */
  onSubmit: () => Promise<void>;
  onClose: () => void;
  children: ComponentChildren;
  isDangerous?: boolean;
  isReady?: boolean;
  isWide?: boolean;
}) {
  const [error, setError] = useState<unknown>(undefined);
  const [isBusy, setBusy] = useState(false);
  const send = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await onSubmit();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose} isWide={isWide}>
      <form
        class="dialog-body form"
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady && !isBusy) void send();
        }}
      >
        {children}
        {error !== undefined && <Problem error={error} />}
        <div class="dialog-foot">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind={isDangerous ? 'danger' : 'primary'} isDisabled={!isReady || isBusy}>
            {isBusy ? 'Working…' : submit}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** Asks before something that cannot be undone. @param word what the user has to type, if it is a lot */
export function Confirm({
  title,
  submit,
  children,
  word,
  onConfirm,
  onClose,
}: {
  title: string;
  submit: string;
  children: ComponentChildren;
  word?: string;
  onConfirm: () => Promise<void>;
  onClose: () => void;
}) {
  const [typed, setTyped] = useState('');
  return (
    <FormDialog
      title={title}
      submit={submit}
      onSubmit={onConfirm}
      onClose={onClose}
      isReady={word === undefined || typed === word}
      isDangerous
    >
      <div>{children}</div>
      {word !== undefined && (
        <Field label={`Type ${word} to go on`} value={typed} onInput={setTyped} isMono isFocused />
      )}
    </FormDialog>
  );
}
