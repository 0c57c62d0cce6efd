// Export and import of a subtree as lines of JSON, and copies inside the tree.
import { z } from 'zod';
import { createMode, encoding, nodePath, queryFlag, statSchema, zxid } from './common.ts';
import { contentType, ttlMsMax } from './nodes.ts';

/** One node, as a line of an export and of an import. */
export const nodeLine = z.strictObject({
  path: nodePath,
  data: z.string().default(''),
  encoding: encoding.default('utf8'),
  contentType: contentType.optional(),
  mode: createMode.default('persistent'),
  ttlMs: z.int().min(1).max(ttlMsMax).optional(),
});

/** The last line of an export: what it has, and what it left out. */
export const exportEnd = z.object({
  end: z.literal(true),
  nodes: z.int().min(0).describe('Lines of nodes.'),
  ephemerals: z.int().min(0).describe('Ephemeral nodes that were left out.'),
  unreadable: z.int().min(0).describe('Subtrees that the caller may not read.'),
  reserved: z.int().min(0).describe('Subtrees of the service itself.'),
  zxid: zxid.describe('The export has every change up to this one.'),
  lastZxid: zxid.describe('It may have some changes up to this one.'),
});

export type ExportEnd = z.output<typeof exportEnd>;

/** An import needs no more of the last line. */
export const endLine = z.looseObject({ end: exportEnd.shape.end, nodes: exportEnd.shape.nodes });

/** OpenAPI 3.1 cannot describe the lines of a text. */
export const exportResponse = z
  .string()
  .describe(
    'With view=export, lines of JSON: a node is `{"path","data","encoding","contentType","mode","ttlMs"?}`, parents before children; the last line is `{"end":true,"nodes","ephemerals","unreadable","reserved","zxid","lastZxid"}`. A text without it is incomplete.',
  );

const conflictChoices = ['fail', 'skip', 'overwrite'] as const;

export const importQuery = z.strictObject({
  onConflict: z
    .enum(conflictChoices)
    .default('fail')
    .describe(
      'What to do with a node that exists with other data, type or kind: end the import, leave the node, or set its data. A node with the same content is left in any case.',
    ),
  dryRun: queryFlag.optional().describe('Write nothing, and say what would be done.'),
  parents: queryFlag
    .optional()
    .describe('Create missing parents as persistent nodes, so that lines need not name them. They are not counted.'),
  path: z
    .string()
    .optional()
    .describe(
      'Import to this path: it takes the place of the path of the first line, at or below which all others must be. Default: each node to the path in its line.',
    ),
});

export const importBody = z
  .unknown()
  .meta({ override: { type: 'string' } })
  .describe(
    'A node on each line, parents before children: `{"path","data"?,"encoding"?:"utf8"|"base64","contentType"?,"mode"?,"ttlMs"?}`. What an export gives can be sent as it is.',
  );

export const importResponse = z
  .object({
    lines: z.int().describe('Lines of nodes.'),
    created: z.int(),
    overwritten: z.int().describe('Nodes whose data was set.'),
    skipped: z.int().describe('Nodes that exist with other content, and were left.'),
    same: z.int().describe('Nodes that exist with the same content.'),
    ephemerals: z.int().describe('Lines with mode ephemeral, which are never imported.'),
    complete: z
      .boolean()
      .describe('Whether the last line was that of an export. If not, the export may have been cut short.'),
    dryRun: z.boolean(),
  })
  .meta({ id: 'ImportResult' });

export type ImportResult = z.infer<typeof importResponse>;

export const copyBody = z
  .strictObject({
    from: nodePath,
    to: nodePath.describe('The path of the copy, which must not exist; its parent must.'),
    move: z.boolean().default(false).describe('Delete the nodes at `from` in the same transaction.'),
  })
  .meta({ id: 'Copy' });

export const copyResponse = z
  .object({
    zxid,
    from: nodePath,
    to: nodePath,
    nodes: z.int().describe('Nodes that were copied.'),
    ephemerals: z.int().describe('Ephemeral nodes that were left out of the copy.'),
    stat: statSchema.describe('Of the node at `to`.'),
  })
  .meta({ id: 'CopyResult' });
