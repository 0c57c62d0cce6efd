// The data and stats of nodes as text.
import type { Stat } from '@weirkeeper/client';
import { printable, type Table } from './table.ts';
import { sizeText, timeText } from './units.ts';

/** How much of the data of a node is shown in a line. */
const previewLength = 80;

/** Data in one line: as much as fits, without control characters. */
export function previewText(data: string, length = previewLength): string {
  const text = printable(data);
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

/** The stat of a node, a fact a row. */
export function statTable(path: string, stat: Stat): Table {
  return {
    columns: ['FIELD', 'VALUE', 'MEANING'],
    rows: [
      ['path', printable(path), ''],
      ['mode', stat.mode, 'the kind of the node'],
      ...(stat.ttlMs === undefined
        ? []
        : [['ttlMs', stat.ttlMs, 'deleted after this time without a set or a child'] as const]),
      ['version', stat.version, 'how often the data was set'],
      ['dataLength', stat.dataLength, sizeText(stat.dataLength)],
      ['numChildren', stat.numChildren, 'children'],
      ['ephemeralOwner', stat.ephemeralOwner, 'the session that owns it'],
      ['ctime', stat.ctime, `created ${timeText(stat.ctime)}`],
      ['mtime', stat.mtime, `data set ${timeText(stat.mtime)}`],
      ['czxid', stat.czxid, 'the transaction that created it'],
      ['mzxid', stat.mzxid, 'the transaction that last set its data'],
      ['pzxid', stat.pzxid, 'the transaction that last changed its list of children'],
      ['cversion', stat.cversion, 'how often a child was created or deleted'],
    ],
  };
}
