// Finds a topic whose name differs from another only by '.' and '_'. Kafka refuses such names, as metrics cannot tell them apart.
import { topicPath, topicsPath } from '../../core/cluster/cluster-nodes.ts';
import { hasCode } from '../../core/service-error.ts';
import type { Namespace } from '../../store/tree/namespace.ts';

/**
 * Looks for such a topic without reading all names: part by part between the separators, it goes on only with beginnings that some topic
 * has. So it takes some reads for each separator, and none without one.
 * @returns its name, or undefined
 */
export async function collidingTopic(
  namespace: Pick<Namespace, 'children' | 'stat'>,
  name: string,
): Promise<string | undefined> {
  const [first = '', ...rest] = name.split(/([._])/);
  let beginnings = [first];
  for (let i = 0; i < rest.length; i += 2) {
    const part = rest[i + 1] ?? '';
    const isLast = i + 2 >= rest.length;
    const longer = beginnings.flatMap((beginning) => [`${beginning}.${part}`, `${beginning}_${part}`]);
    const found = await Promise.all(
      // The name itself leads to others, and is none of them.
      longer.map((text) => (isLast ? text !== name && exists(namespace, text) : begins(namespace, text))),
    );
    beginnings = longer.filter((_, index) => found[index]);
  }
  return rest.length === 0 ? undefined : beginnings[0];
}

/** Whether there is a longer name that begins with a text: it is the next one in the order of names. */
async function begins(namespace: Pick<Namespace, 'children'>, text: string): Promise<boolean> {
  const { children } = await namespace.children(topicsPath, { after: text, limit: 1 });
  return children[0]?.name.startsWith(text) ?? false;
}

async function exists(namespace: Pick<Namespace, 'stat'>, name: string): Promise<boolean> {
  try {
    await namespace.stat(topicPath(name));
    return true;
  } catch (error) {
    if (hasCode(error, 'NO_NODE')) return false;
    throw error;
  }
}
