// Asks for a token where the server wants one.
import { useState } from 'preact/hooks';
import { tokenRefusal, useToken } from '../live/session.ts';
import { Dialog } from '../ui/dialog.tsx';
import { Check, Field } from '../ui/form.tsx';
import { Button } from '../ui/parts.tsx';

export function SignIn() {
  const [text, setText] = useState('');
  const [isKept, setKept] = useState(true);
  return (
    <Dialog title="This cluster has access control" onClose={() => {}}>
      <form
        class="dialog-body form"
        onSubmit={(event) => {
          event.preventDefault();
          void useToken(text.trim(), isKept);
        }}
      >
        <p class="hint">
          Enter a token of your identity. An operator makes one with <code>weir token new IDENTITY</code> and adds its
          hash to the policy file.
        </p>
        <Field
          label="Token"
          type="password"
          value={text}
          onInput={setText}
          error={tokenRefusal.value}
          placeholder="weir_…"
          isMono
          isFocused
          isRequired
        />
        <Check label="Keep it until this tab is closed" isChecked={isKept} onChange={setKept} />
        <div class="dialog-foot">
          <Button type="submit" kind="primary" isDisabled={text.trim() === ''}>
            Go on
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
