// What a client of groups keeps: the secret of each member that it has joined as, which all later calls of the member send.

const secrets = new Map<string, string>();

const membersPath = /\/v1\/groups\/([^/?]+)\/members(?:\/([^/?]+))?/;
const offsetsPath = /\/v1\/groups\/([^/?]+)\/offsets(?:\?|$)/;

/** The header of a request that speaks for a member that was joined by an earlier request of this process. */
export function memberHeader(url: string, body?: unknown): Record<string, string> {
  const [, group, member] = membersPath.exec(url) ?? [];
  const [, committing] = offsetsPath.exec(url) ?? [];
  const named = (body as { memberId?: unknown } | undefined)?.memberId;
  const secret = member
    ? secrets.get(`${group}/${decodeURIComponent(member)}`)
    : committing && typeof named === 'string'
      ? secrets.get(`${committing}/${named}`)
      : undefined;
  return secret === undefined ? {} : { 'weir-member': secret };
}

/** Keeps the secret, if this is the answer to a join. */
export function keepSecret(url: string, answer: unknown): void {
  const [, group] = membersPath.exec(url) ?? [];
  const { memberId, memberSecret } = (answer ?? {}) as { memberId?: string; memberSecret?: string };
  if (group && memberId !== undefined && memberSecret !== undefined) secrets.set(`${group}/${memberId}`, memberSecret);
}
