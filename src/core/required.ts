/**
 * Returns a value that cannot be missing at this place for a reason that the types do not show, such as a rule of stored data.
 * @param what names the value, such as `topic of the group document`
 * @throws Error if it is missing: a fault of this program or of the data in Redis, never of a request
 */
export function required<T>(value: T | null | undefined, what: string): T {
  if (value === undefined || value === null) throw new Error(`Internal error: there is no ${what}`);
  return value;
}
