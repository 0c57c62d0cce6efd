// The form application/vnd.weir.batches, as far as benchmarks need it.

/** The number of records in a response of that form. */
export function countOfBatches(body: Buffer): number {
  let count = 0;
  for (let at = 0; at < body.length; ) {
    const end = body.indexOf('\n', at);
    const batch = JSON.parse(body.toString('utf8', at, end)) as { count: number; bytes: number };
    count += batch.count;
    at = end + 1 + batch.bytes + 1;
  }
  return count;
}
