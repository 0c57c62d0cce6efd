// Consumer instances of the Kafka REST dialect. What a client has made under a name is a node of the tree, so any broker serves any call
// of it (docs/adr/013). The node lives by a session, which each call renews. A subscribed instance is a member of its group.
import { createHash, randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { Actor } from '../../../core/actor.ts';
import { checkName, type ResetPolicy, type Subscription } from '../../../core/groups/group-document.ts';
import { recentlyUsed } from '../../../core/recently-used.ts';
import { hasCode, ServiceError } from '../../../core/service-error.ts';
import { decodeDocument } from '../../../core/stored-document.ts';
import type { Store } from '../../../store/store.ts';
import { brokerCredential } from '../../../store/tree/sessions.ts';
import type { GroupCoordinator } from '../group-coordinator.ts';

/** What a client chooses when it creates an instance. */
interface InstanceSettings {
  format: 'json' | 'binary';
  reset: ResetPolicy;
  autoCommit: boolean;
  /** A poll waits for so many bytes of records. */
  minBytes: number;
  /** How long a poll waits that does not say. */
  timeoutMs: number;
}

const instanceDocument = z.object({
  group: z.string(),
  name: z.string(),
  sessionId: z.string(),
  /** As a member of its group. */
  memberId: z.string(),
  format: z.enum(['json', 'binary']),
  reset: z.enum(['earliest', 'latest', 'none']),
  autoCommit: z.boolean(),
  minBytes: z.number(),
  timeoutMs: z.number(),
  subscription: z.union([z.object({ topics: z.array(z.string()) }), z.object({ pattern: z.string() })]).optional(),
  assigned: z
    .array(z.object({ topic: z.string(), topicId: z.string(), partition: z.number(), offset: z.number() }))
    .optional()
    .describe(
      'Partitions that the client has assigned itself, with the offset of the next record; -1 = not chosen yet.',
    ),
});

export type InstanceDocument = z.infer<typeof instanceDocument>;

/** An instance as it was read: `version` is that of its node. */
export interface Instance {
  path: string;
  version: number;
  document: InstanceDocument;
}

/** The parent of the nodes. Kafka has no such path; `admin` is reserved for the service. */
const instancesPath = '/admin/consumer_instances';
/** Most instances of the cluster, and of one identity. */
const instancesMax = 10_000;
const instancesPerIdentityMax = 1000;
const attemptsMax = 10;
/** A call renews an instance unless another one has within this part of its time to live, which is longer than the idle timeout by it. */
const renewalPart = 1 / 20;
/** A member of a group may have a session timeout of so much. */
const idleMsMax = 30 * 60_000;
const jsonType = 'application/json';

export class ConsumerInstances {
  readonly #store: Pick<Store, 'namespace' | 'sessions'>;
  readonly #groups: Pick<GroupCoordinator, 'join' | 'leave'>;
  readonly #idleMs: number;
  /** By session, until when a call need not renew it: of as many as there may be instances. */
  readonly #renewedUntil = recentlyUsed<number>(instancesMax);

  /** @param idleMs how long an instance lives without a call */
  constructor(
    store: Pick<Store, 'namespace' | 'sessions'>,
    groups: Pick<GroupCoordinator, 'join' | 'leave'>,
    idleMs: number,
  ) {
    this.#store = store;
    this.#groups = groups;
    this.#idleMs = Math.min(idleMs, idleMsMax);
  }

  /**
   * Creates an instance.
   * @throws ServiceError BAD_REQUEST for a name that is not valid; NODE_EXISTS if it is in use; TOO_MANY_REQUESTS
   */
  async create(group: string, name: string, settings: InstanceSettings, actor: Actor): Promise<InstanceDocument> {
    checkName('group', group);
    checkName('instanceId', name);
    await this.#checkCount(actor, 0);
    const { namespace, sessions } = this.#store;
    const { id: sessionId } = await sessions.create(Math.ceil(this.#idleMs * (1 + renewalPart)), actor, undefined, {
      label: 'consumer instance',
    });
    const document: InstanceDocument = { group, name, sessionId, memberId: `rest-${randomUUID()}`, ...settings };
    const session = brokerCredential(sessionId);
    const data = JSON.stringify(document);
    try {
      await namespace.writeOne(
        {
          op: 'create',
          path: pathOf(group, name, actor),
          data,
          contentType: jsonType,
          mode: 'ephemeral',
          session,
          parents: true,
        },
        { privileged: true },
      );
      // Of those that were created at the same time, the last one that stays has counted all others.
      await this.#checkCount(actor, 1);
    } catch (error) {
      await sessions.end(session).catch(() => undefined);
      throw error;
    }
    return document;
  }

  /** Reads an instance and renews its life. @throws ServiceError UNKNOWN_MEMBER */
  async get(group: string, name: string, actor: Actor): Promise<Instance> {
    const path = pathOf(group, name, actor);
    try {
      const instance = await this.#read(path);
      await this.#renew(instance.document);
      return instance;
    } catch (error) {
      if (hasCode(error, 'NO_NODE') || hasCode(error, 'SESSION_EXPIRED')) throw unknownInstance(group, name);
      throw error;
    }
  }

  async #renew({ sessionId }: InstanceDocument): Promise<void> {
    const calledAt = performance.now();
    if (calledAt < (this.#renewedUntil.get(sessionId) ?? 0)) return;
    const { ttlMs } = await this.#store.sessions.renew(brokerCredential(sessionId));
    this.#renewedUntil.set(sessionId, calledAt + ttlMs * renewalPart);
  }

  /**
   * Keeps an instance alive while a call of it waits.
   * @returns a function that ends it
   */
  keepAlive({ document }: Instance): () => void {
    // If a renewal fails, the next one may succeed; an instance that is gone is told by the next call.
    const renew = () => this.#store.sessions.renew(brokerCredential(document.sessionId)).catch(() => undefined);
    const timer = setInterval(renew, this.#idleMs / 3);
    return () => clearInterval(timer);
  }

  /** Stores a change of an instance. @returns it as it is then; undefined if it was changed since it was read */
  async tryChange(
    { path, version, document }: Instance,
    change: Partial<InstanceDocument>,
  ): Promise<Instance | undefined> {
    const next = { ...document, ...change };
    try {
      const op = { op: 'set', path, data: JSON.stringify(next), contentType: jsonType, version } as const;
      await this.#store.namespace.writeOne(op, { privileged: true });
    } catch (error) {
      if (hasCode(error, 'BAD_VERSION')) return undefined;
      throw hasCode(error, 'NO_NODE') ? unknownInstance(document.group, document.name) : error;
    }
    return { path, version: version + 1, document: next };
  }

  /**
   * Changes an instance; if it was changed meanwhile, computes the change again.
   * @param change returns what changes; it may throw to refuse
   */
  async change(
    instance: Instance,
    change: (document: InstanceDocument) => Partial<InstanceDocument>,
  ): Promise<Instance> {
    let current = instance;
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      const changed = await this.tryChange(current, change(current.document));
      if (changed) return changed;
      current = await this.#read(current.path);
    }
    const { group, name } = instance.document;
    throw new ServiceError('TOO_MANY_REQUESTS', `Instance '${name}' changed during each of ${attemptsMax} attempts.`, {
      group,
    });
  }

  /** Subscribes an instance in place of what it was subscribed to. The group gives it partitions at once, if some are free. */
  async subscribe(instance: Instance, subscription: Subscription, actor: Actor & { ip: string }): Promise<void> {
    const changed = await this.change(instance, (document) => {
      if (document.assigned) throw illegalState('has assigned itself partitions; delete its subscription first');
      return { subscription };
    });
    await this.join(changed.document, actor);
  }

  /** Makes a subscribed instance a member of its group, at first or after it was removed. */
  async join(
    { group, name, memberId, subscription, reset }: InstanceDocument,
    actor: Actor & { ip: string },
  ): Promise<void> {
    if (!subscription) return;
    const timeouts = { sessionTimeoutMs: this.#idleMs, rebalanceTimeoutMs: this.#idleMs };
    const { identity, actsAs, ip } = actor;
    const join = {
      memberId,
      clientId: name,
      actor: { identity, actsAs },
      address: ip,
      subscription,
      reset,
      ...timeouts,
    };
    await this.#groups.join(group, join, undefined);
  }

  /** Takes its subscription, or the partitions that it has assigned itself, from an instance. */
  async unsubscribe(instance: Instance): Promise<void> {
    await this.change(instance, () => ({ subscription: undefined, assigned: undefined }));
    await this.#leave(instance.document);
  }

  /** Deletes an instance; its group gives its partitions to others at once. */
  async delete({ document }: Instance): Promise<void> {
    await this.#leave(document);
    await this.#store.sessions.end(brokerCredential(document.sessionId)).catch((error: unknown) => {
      if (!hasCode(error, 'SESSION_EXPIRED')) throw error;
    });
  }

  async #leave({ group, memberId, subscription }: InstanceDocument): Promise<void> {
    if (!subscription) return;
    await this.#groups.leave(group, memberId, {}).catch((error: unknown) => {
      if (!isNoMember(error)) throw error;
    });
  }

  async #read(path: string): Promise<Instance> {
    const { data, stat } = await this.#store.namespace.get(path);
    const document = decodeDocument('A consumer instance', data, instanceDocument);
    return { path, version: stat.version, document };
  }

  /** @param own how many of those that are counted are to be checked @throws ServiceError TOO_MANY_REQUESTS */
  async #checkCount(actor: Actor, own: 0 | 1): Promise<void> {
    const { namespace } = this.#store;
    const all = await namespace.stat(instancesPath).then(
      ({ stat }) => stat.numChildren,
      (error: unknown) => {
        if (hasCode(error, 'NO_NODE')) return 0;
        throw error;
      },
    );
    const others = all - own;
    if (others >= instancesMax) throw tooMany(`There are ${others} consumer instances; the limit is ${instancesMax}`);
    if (actor.identity === undefined || others < instancesPerIdentityMax) return;
    const prefix = prefixOf(actor);
    const { children } = await namespace.children(instancesPath, {
      after: prefix,
      limit: instancesPerIdentityMax + own,
    });
    if (children.filter(({ name }) => name.startsWith(prefix)).length - own < instancesPerIdentityMax) return;
    throw tooMany(
      `${actor.identity} has ${instancesPerIdentityMax} consumer instances, as many as an identity may have`,
    );
  }
}

/** Whether an error says that the member is none of its group: it was removed, or has never joined. */
export function isNoMember(error: unknown): boolean {
  return hasCode(error, 'UNKNOWN_MEMBER') || hasCode(error, 'UNKNOWN_GROUP');
}

/** An instance cannot do what is asked for in its state; FENCED_MEMBER_EPOCH is the code of a member in the wrong state. */
export function illegalState(what: string): ServiceError {
  return new ServiceError('FENCED_MEMBER_EPOCH', `Illegal state: the consumer instance ${what}.`);
}

/** Each identity has names of its own, so that nobody learns the names of others. The hashes bound the length. */
function pathOf(group: string, name: string, actor: Actor): string {
  return `${instancesPath}/${prefixOf(actor)}${hash(JSON.stringify([group, name]), 32)}`;
}

function prefixOf({ identity = '' }: Actor): string {
  return `${hash(identity, 16)}-`;
}

function hash(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}

function unknownInstance(group: string, name: string): ServiceError {
  return new ServiceError(
    'UNKNOWN_MEMBER',
    `Consumer instance not found: group '${group}' has no instance '${name}'. It was deleted, or had no call for its idle timeout.`,
  );
}

function tooMany(problem: string): ServiceError {
  return new ServiceError('TOO_MANY_REQUESTS', `${problem}. Delete those that are not used.`);
}
