// Stores the secret of each group member that this process has joined as: later calls of the member must send it.

const secrets = new Map<string, string>();

const membersPath = /\/v1\/groups\/([^/?]+)\/members(?:\/([^/?]+))?/;
const offsetsPath = /\/v1\/groups\/([^/?]+)\/offsets(?:\?|$)/;

/** The header with the secret of a member that an earlier request of this process joined as; empty for other requests. */
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

/** Stores the secret, if this is the response to a join. */
export function keepSecret(url: string, answer: unknown): void {
  const [, group] = membersPath.exec(url) ?? [];
  const { memberId, memberSecret } = (answer ?? {}) as { memberId?: string; memberSecret?: string };
  if (group && memberId !== undefined && memberSecret !== undefined) secrets.set(`${group}/${memberId}`, memberSecret);
}
