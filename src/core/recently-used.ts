// Caches of what was used last, for a limit on the number of entries.
import { LRUCache } from 'lru-cache';

/**
 * A cache of the `max` entries that were used last. The limit is given as a size: for a limit on the number of entries lru-cache
 * allocates all slots at once, which for the caches of a server costs megabytes and a tenth of its start.
 * @param expiry when an entry ends, `ttl` in ms; without it entries do not end
 */
export function recentlyUsed<Value extends object | number | boolean>(
  max: number,
  expiry: { ttl?: number; ttlResolution?: number; perf?: { now(): number } } = {},
): LRUCache<string, Value> {
  return new LRUCache<string, Value>({ ...expiry, maxSize: max, sizeCalculation: () => 1 });
}
