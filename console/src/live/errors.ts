// What to tell about an error: what happened, and what to do about it.
import { isWeirError } from '@weirkeeper/client';

export interface ErrorText {
  title: string;
  detail: string;
  /** What the user can do. */
  remedy: string | undefined;
  code: string | undefined;
  requestId: string | undefined;
}

const titles: Readonly<Record<string, string>> = {
  UNREACHABLE: 'The server does not respond',
  STORE_UNAVAILABLE: 'The store does not respond',
  LOADING: 'The server is starting',
  FORBIDDEN: 'You may not do this',
  AUTH_REQUIRED: 'The server wants a token',
  BAD_VERSION: 'Somebody else has changed it',
  NODE_EXISTS: 'There is a node with this path',
  NO_NODE: 'There is no such node',
  NO_PARENT: 'Its parent does not exist',
  NOT_EMPTY: 'The node has children',
  NO_SESSION: 'There is no such session',
  SESSION_EXPIRED: 'The session has ended',
  UNKNOWN_GROUP: 'There is no such group',
  TOPIC_EXISTS: 'There is a topic with this name',
  UNKNOWN_TOPIC: 'There is no such topic',
  TOO_MANY_REQUESTS: 'The server has too much to do',
  QUOTA_EXCEEDED: 'Your quota is used up',
  TOO_LARGE: 'It is too large',
};

const remedies: Readonly<Record<string, string>> = {
  UNREACHABLE: 'The page goes on trying. See whether the server runs, and whether a proxy stands between.',
  STORE_UNAVAILABLE: 'Look at Redis: `weir doctor` on the server says what is wrong.',
  LOADING: 'Wait until Redis has loaded its data; the page goes on by itself.',
  FORBIDDEN: 'An operator can add the right that the text names to the policy file.',
  AUTH_REQUIRED: 'Enter a token of your identity.',
  BAD_VERSION: 'Compare both versions, and decide which one is to stay.',
  NO_PARENT: 'Create the parent first, or let it be created along with the node.',
  NO_NODE: 'Somebody may have deleted it: its history tells, or that of its parent.',
  NODE_EXISTS: 'Choose another path, or edit the node that is there.',
  NO_SESSION: 'It has ended, or has never been there.',
  SESSION_EXPIRED: 'Its ephemeral nodes are gone with it; its program has to open a new one.',
  UNKNOWN_TOPIC: 'See whether its name is right, or create it on the page of the topics.',
  TOPIC_EXISTS: 'Choose another name, or use the topic that is there.',
  UNKNOWN_GROUP: 'See whether its name is right. A group is there as soon as a member joins.',
  QUOTA_EXCEEDED: 'Delete what you no longer need, or let an operator raise the limit in the policy file.',
  TOO_LARGE: 'Make it smaller, or store it in parts.',
  NOT_EMPTY: 'Delete its children first, or delete the whole subtree.',
  TOO_MANY_REQUESTS: 'Wait a moment and try again.',
};

/** The texts for any error. */
export function textOfError(error: unknown): ErrorText {
  if (!isWeirError(error)) {
    const detail = error instanceof Error ? error.message : String(error);
    return { title: 'Something went wrong', detail, remedy: undefined, code: undefined, requestId: undefined };
  }
  const { code, detail, requestId, maybeDone } = error;
  const unsure = maybeDone ? 'It may have taken effect nevertheless: look before you repeat it.' : undefined;
  return { title: titles[code] ?? 'The server refused it', detail, remedy: unsure ?? remedies[code], code, requestId };
}
