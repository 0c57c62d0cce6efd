// Live configuration: settings that take effect while programs run, and never half of a change.
import { isWeirError } from '../errors.ts';
import { Listeners } from '../listeners.ts';
import { type On, sessionOf } from './place.ts';

export interface Config<T> {
  /** The settings as they are now. */
  readonly value: T;
  /** Calls `listener` after each change that `parse` accepts. @returns ends it */
  onChange(listener: (value: T) => void): () => void;
  /** Calls `listener` when `parse` refuses a change: `value` stays as it was. @returns ends it */
  onError(listener: (error: unknown) => void): () => void;
  /** Changes several settings in one transaction. */
  set(values: { readonly [key: string]: string }): Promise<void>;
  close(): Promise<void>;
}

export interface ConfigOptions<T> {
  /** Makes the value of the texts of all settings. Default: as they are. */
  parse?: (settings: { readonly [key: string]: string }) => T;
}

/** Reads the settings below `/settings/<application>`, and follows them. */
export async function config<T = { readonly [key: string]: string }>(
  on: On,
  application: string,
  { parse = (settings) => settings as T }: ConfigOptions<T> = {},
): Promise<Config<T>> {
  const root = `/settings/${application}`;
  const listeners = new Listeners<{ change: T; error: unknown }>();
  const cache = on.cache(root);
  await cache.ready;
  const read = () =>
    parse(
      Object.fromEntries(
        [...cache].filter(([path]) => path !== root).map(([path, node]) => [path.slice(root.length + 1), node.text]),
      ),
    );
  let value = read();
  cache.on('change', (changes) => {
    // The node above the settings holds none.
    if (changes.every(({ path }) => path === root)) return;
    try {
      value = read();
    } catch (error) {
      listeners.emit('error', error);
      return;
    }
    listeners.emit('change', value);
  });
  return {
    get value() {
      return value;
    },
    onChange: (listener) => listeners.on('change', listener),
    onError: (listener) => listeners.on('error', listener),
    set: async (values) => {
      const { tree } = await sessionOf(on);
      for (;;) {
        const multi = tree.multi();
        if (!(await tree.exists(root))) await tree.create(root, '', { parents: true }).catch(ignoreExisting);
        for (const [key, text] of Object.entries(values)) {
          if (await tree.exists(`${root}/${key}`)) multi.set(`${root}/${key}`, text);
          else multi.create(`${root}/${key}`, text);
        }
        try {
          await multi.commit();
          return;
        } catch (error) {
          // Another client has created or deleted one of the keys since they were looked for.
          if (!isWeirError(error, 'NODE_EXISTS', 'NO_NODE')) throw error;
        }
      }
    },
    close: () => cache.close(),
  };
}

function ignoreExisting(error: unknown): void {
  if (!isWeirError(error, 'NODE_EXISTS')) throw error;
}
