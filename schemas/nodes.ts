// Requests and responses of /v1/nodes and /v1/multi: a tree as in ZooKeeper, over HTTP.
import { z } from 'zod';
import { createMode, encoding, nodePath, queryFlag, queryInteger, statSchema, zxid } from './common.ts';
import { durationBetween } from './duration.ts';

/** ZooKeeper's largest TTL: 40 bits of milliseconds (docs/zookeeper.md, Creating nodes). */
export const ttlMsMax = 2 ** 40 - 1;

const ttl = durationBetween(1, ttlMsMax, 'must be from 1ms to 2^40-1 ms');

/** ZooKeeper's version is a signed 32-bit number; -1 stands for any. */
const version = queryInteger(-(2 ** 31), 2 ** 31 - 1).describe('Expected version of the node; -1 = any.');

/** The longest wait of a long poll, ms. */
const waitMsMax = 5 * 60_000;

/** Children or nodes of one page: the most, and how many without a `limit`. */
export const childrenLimitMax = 10_000;
export const childrenLimitDefault = 1000;

export const getNodeQuery = z.strictObject({
  view: z
    .enum(['data', 'node', 'stat', 'children', 'tree', 'export'])
    .default('data')
    .describe('What to return: the data as bytes, the subtree as lines of JSON (export), or the other views as JSON.'),
  limit: queryInteger(1, childrenLimitMax)
    .optional()
    .describe('Maximum number of children (default 1000) or of tree nodes in the response.'),
  after: z.string().optional().describe('With view=children: the `next` of the previous page.'),
  stats: queryFlag.optional().describe('With view=children: include the stat of each child.'),
  depth: queryInteger(0, 1000).optional().describe('With view=tree: number of levels below the node; default all.'),
  wait: durationBetween(0, waitMsMax, 'must be at most 5m')
    .optional()
    .describe('With If-None-Match: wait for a change for up to this time (long poll), at most 5m.'),
  read: z
    .literal('local')
    .optional()
    .describe(
      'Read from the memory of the broker: a state that may be some milliseconds old, as a ZooKeeper server replies. `Weir-Zxid` says which, `Weir-Read` whether it came from memory. Not with view=tree or stats=true.',
    ),
  minZxid: queryInteger(0, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe('With read=local: the response reflects this transaction, such as the last one that the client saw.'),
});

const creation = {
  mode: createMode.optional().describe('Kind of node to create; `ephemeral` requires a session.'),
  ttl: ttl
    .optional()
    .describe('For mode=ttl: the created node is deleted when it has no children and was not set for this time.'),
  parents: queryFlag.optional().describe('Create missing parents as persistent nodes.'),
  session: z
    .string()
    .optional()
    .describe('Handle of the session that owns the node. Without `mode` the node is ephemeral.'),
};

export const putNodeQuery = z.strictObject({ ...creation, version: version.optional() });
export const postNodeQuery = z.strictObject(creation);
export const deleteNodeQuery = z.strictObject({
  version: version.optional(),
  recursive: queryFlag.optional().describe('Also delete everything below the node, in the same transaction.'),
});

export const nodeResponse = z
  .object({
    path: nodePath,
    data: z.string(),
    encoding,
    contentType: z.string(),
    stat: statSchema,
  })
  .meta({ id: 'Node' });

export const statResponse = z.object({ path: nodePath, stat: statSchema }).meta({ id: 'NodeStat' });

export const createdResponse = z
  .object({ path: nodePath, name: z.string(), stat: statSchema })
  .meta({ id: 'CreatedNode' });

export const childrenResponse = z
  .object({
    path: nodePath,
    children: z.union([
      z.array(z.string()),
      z.array(z.object({ name: z.string(), stat: statSchema }).meta({ id: 'Child' })),
    ]),
    next: z.string().optional().describe('Pass it as `after` for the next page; absent on the last page.'),
    stat: statSchema,
  })
  .meta({ id: 'Children' });

export interface TreeNode {
  name: string;
  stat: z.infer<typeof statSchema>;
  children?: TreeNode[];
  truncated?: boolean;
}

export const treeResponse = z
  .object({
    path: nodePath,
    tree: z
      .looseObject({ name: z.string(), stat: statSchema })
      .describe(
        'Nested nodes: `{name,stat,children:[…]}`. `truncated` marks nodes below which the limit or the depth left nodes out.',
      ),
    truncated: z.boolean(),
  })
  .meta({ id: 'Tree' });

const opPath = z.string();
const opVersion = z
  .int()
  .min(-(2 ** 31))
  .max(2 ** 31 - 1)
  .optional();
/** It is returned in a response header, so it is limited to characters that are valid there. */
export const contentType = z.string().regex(/^[\x20-\x7e]{1,256}$/, 'must be 1 to 256 printable ASCII characters');
const opData = { data: z.string().optional(), dataBase64: z.base64().optional(), contentType: contentType.optional() };

/** The operations of a multi; sockets take them by themselves, too (schemas/socket.ts). */
export const createOp = z
  .strictObject({
    op: z.literal('create'),
    path: opPath,
    ...opData,
    mode: createMode.optional(),
    ttl: ttl.optional(),
    session: z.string().optional(),
    sequential: z.boolean().optional(),
  })
  .meta({ id: 'CreateOperation' });
export const setOp = z
  .strictObject({
    op: z.literal('set'),
    path: opPath,
    ...opData,
    version: opVersion,
    mzxid: zxid.optional(),
  })
  .meta({ id: 'SetOperation' });
export const deleteOp = z
  .strictObject({
    op: z.literal('delete'),
    path: opPath,
    version: opVersion,
    mzxid: zxid.optional(),
  })
  .meta({ id: 'DeleteOperation' });
const checkOp = z
  .strictObject({
    op: z.literal('check'),
    path: opPath,
    version: opVersion,
    mzxid: zxid.optional(),
    czxid: zxid.optional(),
    exists: z.boolean().optional(),
  })
  .meta({ id: 'CheckOperation' });

const multiOp = z.discriminatedUnion('op', [createOp, setOp, deleteOp, checkOp]);

export type MultiOp = z.infer<typeof multiOp>;

const multiOpsMax = 10_000;

export const multiBody = z.strictObject({ ops: z.array(multiOp).max(multiOpsMax) }).meta({ id: 'Multi' });

export const multiResponse = z
  .object({
    zxid,
    results: z.array(
      z
        .object({ op: z.enum(['create', 'set', 'delete', 'check']), path: nodePath, stat: statSchema.optional() })
        .meta({ id: 'OperationResult' }),
    ),
  })
  .meta({ id: 'MultiResult' });
