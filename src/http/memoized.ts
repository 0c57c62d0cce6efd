// A value that is made when it is first needed.

/** Makes the value for the first caller and gives it to all others. After a failure the next caller tries again. */
export function memoized<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}
