// Copies texts, and saves them as files.
import { Button } from './parts.tsx';
import { tell, tellError } from './toasts.tsx';

/** @param what says what was copied: `The path` */
export async function copyText(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    tell(`${what} is copied`);
  } catch {
    tellError(new Error('The browser does not let this page use the clipboard. It does on localhost and over https.'));
  }
}

export function CopyButton({ text, what, label = 'Copy' }: { text: string; what: string; label?: string }) {
  return (
    <Button icon="copy" onClick={() => void copyText(text, what)}>
      {label}
    </Button>
  );
}

/** Offers a text as a download. */
export function saveFile(name: string, type: string, content: BlobPart): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
