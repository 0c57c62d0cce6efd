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

/** The run of the process that answered: another one after each restart and each failover. */
export function runOf(info: ServerInfo): string {
  return info.get('run_id') ?? '';
}
