// What a Redis server reports about itself by INFO.

/** The fields of INFO by name. */
export type ServerInfo = ReadonlyMap<string, string>;

/** Parses the reply to INFO. */
export function parseInfo(info: string): ServerInfo {
  const fields = new Map<string, string>();
  for (const line of info.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

/** How far a Redis has come that loads its data from disk. */
export interface LoadingProgress {
  percent: number;
  secondsLeft: number;
}

/** Reads the progress from INFO persistence; undefined if Redis is not loading. */
export function loadingOf(info: ServerInfo): LoadingProgress | undefined {
  if (info.get('loading') !== '1') return undefined;
  const percent = Number(info.get('loading_loaded_perc'));
  const secondsLeft = Number(info.get('loading_eta_seconds'));
  return { percent: Math.floor(percent) || 0, secondsLeft: Math.max(0, secondsLeft || 0) };
}

/** The `run_id` of the server process: another one after each restart and each failover. */
export function runIdOf(info: ServerInfo): string {
  return info.get('run_id') ?? '';
}
