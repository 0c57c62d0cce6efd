// The variables of the environment that clients read: the command line and the client package. A server ignores them, as both often run
// in the same shell.

/** Each variable, and what it is for. */
export const clientVariables = {
  WEIR_URL: 'The URL of a broker, or several with commas between them; default http://localhost:7070',
  WEIR_TOKEN: 'The access token, or @FILE with it',
  WEIR_CACERT: 'PEM file with the certificate authorities of the server',
  WEIR_CERT: 'PEM file with the certificate of the client, where the server asks for one',
  WEIR_KEY: 'PEM file with the key of that certificate',
  WEIR_CONTEXT: 'The context to use in place of the current one',
  WEIR_SESSION: 'The handle of the session that owns ephemeral nodes',
  WEIR_FENCE_TOKEN: 'The fencing token of the lock that `weir` holds; set for the command that it runs',
  WEIR_LOCK_NODE: 'The node of what `weir` holds; set for the command that it runs',
  WEIR_QUEUE_ITEM: 'The node of an item; set for the command that `weir queue work` runs',
} as const;

/** Set for the command that `weir consume --exec` runs: where the record is from. */
export const recordVariables = [
  'WEIR_RECORD_TOPIC',
  'WEIR_RECORD_PARTITION',
  'WEIR_RECORD_OFFSET',
  'WEIR_RECORD_KEY',
  'WEIR_RECORD_TIMESTAMP',
] as const;
