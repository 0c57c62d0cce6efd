// Who asks, as far as what belongs to identities depends on it: sessions, members of groups, named producers.

export interface Actor {
  /** The identity to which belongs what it makes; undefined without access control. */
  readonly identity: string | undefined;
  /**
   * Whose things it may use: those of this identity; undefined = those of all, for an admin, the service itself, and without access
   * control. It is to be read at each use, as the rights of the client of a socket may change.
   */
  readonly actsAs: string | undefined;
}

/** The service itself, and everybody where there is no access control. */
export const unrestricted: Actor = { identity: undefined, actsAs: undefined };

/** Whether an actor may use what belongs to `owner`; undefined = to no identity, as it was made without access control. */
export function mayUse({ actsAs }: Pick<Actor, 'actsAs'>, owner: string | undefined): boolean {
  return actsAs === undefined || owner === undefined || owner === actsAs;
}
