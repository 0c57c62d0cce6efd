// Checks that a stored document of a group has the shape that the code relies on. Each commit and read of a group decodes its document,
// so the check is by hand: a schema takes several times as long as JSON.parse for a thousand members.

type Kind = 'number' | 'string' | 'list' | 'object';
type Fields = readonly (readonly [name: string, kind: Kind])[];

const ofGroup: Fields = [
  ['groupEpoch', 'number'],
  ['targetEpoch', 'number'],
  ['assignor', 'string'],
  ['members', 'object'],
  ['target', 'object'],
  ['topics', 'object'],
];

/** `topics` is not among them: members that share a pattern have none of their own. */
const ofMember: Fields = [
  ['memberId', 'string'],
  ['sessionId', 'string'],
  ['state', 'string'],
  ['memberEpoch', 'number'],
  ['previousMemberEpoch', 'number'],
  ['sessionTimeoutMs', 'number'],
  ['rebalanceTimeoutMs', 'number'],
  ['subscription', 'object'],
  ['assigned', 'list'],
  ['pendingRevocation', 'list'],
];

const ofTopic: Fields = [
  ['topicId', 'string'],
  ['partitionCount', 'number'],
];

/** @throws Error naming the first field that is missing or has another type */
export function checkGroupDocument(document: unknown): void {
  const group = checked(document, ofGroup, 'document');
  checkEach(group.members, ofMember, 'members');
  checkEach(group.topics, ofTopic, 'topics');
}

function checkEach(entries: unknown, fields: Fields, name: string): void {
  const values = entries as Record<string, unknown>;
  for (const key of Object.keys(values)) checked(values[key], fields, name, key);
}

function checked(value: unknown, fields: Fields, name: string, key?: string): Record<string, unknown> {
  if (!isKind(value, 'object')) throw invalid([name, key], 'object');
  const object = value as Record<string, unknown>;
  for (const [field, kind] of fields) if (!isKind(object[field], kind)) throw invalid([name, key, field], kind);
  return object;
}

function isKind(value: unknown, kind: Kind): boolean {
  if (kind === 'list') return Array.isArray(value);
  if (kind === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  return typeof value === kind;
}

function invalid(path: readonly (string | undefined)[], kind: Kind): Error {
  const at = path.filter((part) => part !== undefined).join('.');
  return new Error(`The group document is not valid: ${at} is no ${kind}.`);
}
