// Who is there: instances of a service with their addresses, and members of a group. Each is an ephemeral node, which is created anew
// when its session was lost.
import type { Cache } from '../cache.ts';
import { isWeirError } from '../errors.ts';
import type { DataInput } from '../node-data.ts';
import { Session } from '../session.ts';
import { type On, sessionOf } from './place.ts';

/** A registration of this client. */
export interface Registration {
  /** Ends it at once. */
  end(): Promise<void>;
}

export interface Members {
  /** Names and data of those that are there. */
  list(): Promise<Map<string, string>>;
  /** A map that follows them. Close it in the end. */
  follow(): Promise<Following>;
}

export interface Following {
  readonly members: ReadonlyMap<string, string>;
  /** Calls `listener` at each change. @returns ends it */
  onChange(listener: (members: ReadonlyMap<string, string>) => void): () => void;
  close(): Promise<void>;
}

export interface Service extends Members {
  /** Registers an instance for as long as the client lives. */
  register(instance: string, address: DataInput): Promise<Registration>;
}

export interface Membership extends Members {
  /** Joins for as long as the client lives. Then every list has this member. */
  join(member: string, data?: DataInput): Promise<Registration>;
}

/** The instances of a service, and their addresses. */
export function service(on: On, name: string): Service {
  const root = `/services/${name}`;
  return { register: (instance, address) => register(on, `${root}/${instance}`, address), ...members(on, root) };
}

/** A group whose members know each other. */
export function membership(on: On, name: string): Membership {
  const root = `/groups/${name}`;
  return { join: (member, data = '') => register(on, `${root}/${member}`, data), ...members(on, root) };
}

async function register(on: On, path: string, data: DataInput): Promise<Registration> {
  let hasEnded = false;
  let owner: Session;
  const create = async (): Promise<void> => {
    owner = await sessionOf(on);
    const session = owner;
    const { tree } = session;
    // Others have seen this one leave: it comes back, unless it is to end, or its session was the caller's own.
    session.onState((state) => {
      if (state === 'lost' && !hasEnded && !(on instanceof Session)) create().catch(() => {});
    });
    for (;;) {
      try {
        await tree.create(path, data, { mode: 'ephemeral', parents: true });
        return;
      } catch (error) {
        if (!isWeirError(error, 'NODE_EXISTS')) throw error;
        if ((await tree.stat(path))?.ephemeralOwner === session.id) return;
        // The name is in use, perhaps by an earlier run of this instance: it is deleted with its session.
        await tree.waitFor(path, { until: 'gone' });
      }
    }
  };
  await create();
  return {
    end: async () => {
      hasEnded = true;
      const { tree } = owner;
      if ((await tree.stat(path))?.ephemeralOwner !== owner.id) return;
      await tree.remove(path).catch((error: unknown) => {
        if (!isWeirError(error, 'NO_NODE', 'SESSION_EXPIRED')) throw error;
      });
    },
  };
}

function members(on: On, root: string): Members {
  const follow = async (): Promise<Following> => {
    const cache = on.cache(root);
    await cache.ready;
    return {
      get members() {
        return membersIn(cache, root);
      },
      onChange: (listener) => cache.on('change', () => listener(membersIn(cache, root))),
      close: () => cache.close(),
    };
  };
  return {
    follow,
    list: async () => {
      const following = await follow();
      await following.close();
      return new Map(following.members);
    },
  };
}

function membersIn(cache: Cache, root: string): Map<string, string> {
  const all = [...cache]
    .filter(([path]) => path !== root)
    .map(([path, node]): [string, string] => [path.slice(root.length + 1), node.text]);
  return new Map(all.sort(([a], [b]) => (a < b ? -1 : 1)));
}
