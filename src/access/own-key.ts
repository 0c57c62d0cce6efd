/**
 * The key under which the store knows an Idempotency-Key: the same key of two identities is two keys. Keys of clients without an identity
 * are as they are sent, as versions before access control stored them.
 */
export function ownKey(identity: string | undefined, key: string): string {
  // The name of an identity has no line end, so what is before the first one is always the sender.
  return identity === undefined ? key : `${identity}\n${key}`;
}
