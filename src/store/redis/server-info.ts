// What a Redis says of itself.

/** The fields of INFO by their names. */
export type ServerInfo = ReadonlyMap<string, string>;

/** Reads the reply to INFO. */
export function parseInfo(info: string): ServerInfo {
  const fields = new Map<string, string>();
  for (const line of info.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

/** How far a Redis has come that reads its data into memory. */
export interface LoadingProgress {
  percent: number;
  secondsLeft: number;
}

/** From INFO persistence; undefined if it loads nothing. */
export function loadingOf(info: ServerInfo): LoadingProgress | undefined {
  if (info.get('loading') !== '1') return undefined;
  const percent = Number(info.get('loading_loaded_perc'));
  const secondsLeft = Number(info.get('loading_eta_seconds'));
  return { percent: Math.floor(percent) || 0, secondsLeft: Math.max(0, secondsLeft || 0) };
}

/** The run of the process that answered: another one after each restart and each failover. */
export function runIdOf(info: ServerInfo): string {
  return info.get('run_id') ?? '';
}
