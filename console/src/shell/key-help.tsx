// The keys that do something now.
import { Dialog } from '../ui/dialog.tsx';
import { keyLayers } from '../ui/keys.ts';

export function KeyHelp({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose}>
      {keyLayers.value.toReversed().map(({ title, bindings }) => (
        <section key={title}>
          <h3>{title}</h3>
          <dl class="facts keys">
            {bindings.map(({ keys, does }) => (
              <div key={keys} class="key-line">
                <dt>
                  {keys.split(/[ +]/).map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </dt>
                <dd>{does}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
      <p class="hint">
        In trees and tables the arrows, Home, End and Enter work as well. The guide says{' '}
        <a href="../docs/guide/console">what the console can do</a>.
      </p>
    </Dialog>
  );
}
