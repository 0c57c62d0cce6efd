/** Against whom counts what a request creates, if the policy limits what that identity stores (docs/adr/014). */
export interface Creator {
  readonly name: string;
  /** Its limits; one that is absent does not exist. Without `limits` those are meant that the store has. */
  readonly limits?: {
    readonly nodes?: number | undefined;
    readonly storedBytes?: number | undefined;
    readonly partitions?: number | undefined;
  };
}
