// The reserved nodes as an indented list, each with its data and a sentence about what it is for.
import { linkToNode } from '../router.ts';
import { Badge } from '../ui/parts.tsx';
import type { Mark } from './followed-nodes.ts';
import { explain, type SeenNode } from './kafka-tree.ts';

const dataMax = 220;
const words: Record<Mark, string> = { new: 'new', changed: 'changed', gone: 'gone' };

export function NodeList({
  nodes,
  marks,
  onPick,
  picked,
}: {
  nodes: readonly SeenNode[];
  marks: ReadonlyMap<string, Mark>;
  picked: string | undefined;
  onPick: (path: string | undefined) => void;
}) {
  return (
    <ul class="kafka-nodes">
      {nodes.map(({ path, data, isEphemeral }) => {
        const depth = path.split('/').length - 2;
        const mark = marks.get(path);
        const isOpen = picked === path;
        return (
          <li key={path} data-mark={mark} style={{ '--depth': depth }}>
            <button
              class="kafka-node"
              type="button"
              aria-expanded={isOpen}
              onClick={() => onPick(isOpen ? undefined : path)}
            >
              <span class="mono">{depth === 0 ? path : `/${path.split('/').at(-1)}`}</span>
              {isEphemeral && <Badge kind="violet">ephemeral</Badge>}
              {mark && <Badge kind={mark === 'gone' ? 'bad' : 'accent'}>{words[mark]}</Badge>}
              {data !== '' && !isOpen && <span class="kafka-data mono">{data.slice(0, dataMax)}</span>}
            </button>
            {isOpen && (
              <div class="kafka-about">
                <p>{explain(path)}</p>
                {data !== '' && <pre class="data">{pretty(data)}</pre>}
                <p>
                  <a href={linkToNode(path)}>Open in the tree</a> <span class="hint mono">{path}</span>
                </p>
              </div>
            )}
          </li>
        );
      })}
    </ul>
  );
}

function pretty(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' ? JSON.stringify(value, undefined, 2) : text;
  } catch {
    return text;
  }
}
