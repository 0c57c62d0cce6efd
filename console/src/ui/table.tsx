// A table of any length: only the rows in view are in the document. Rows are of one height; arrows, j and k go from one to the next.
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { useVirtualRows } from './virtual-rows.ts';

export interface Column<Row> {
  id: string;
  head: string;
  cell: (row: Row) => ComponentChildren;
  /** A CSS width; the columns without one share what is left. */
  width?: string;
  isNumber?: boolean;
  /** Left out where there is little room. */
  isMinor?: boolean;
  /** What the column is sorted by; without it, it is not. */
  sortBy?: (row: Row) => number | string;
}

export interface TableProps<Row> {
  /** What the rows are, for screen readers. */
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  /** A row was chosen with a click or Enter. */
  onOpen?: (row: Row) => void;
  selected?: string | undefined;
  /** `new`, `changed` or `gone` lets the row flash. */
  flashOf?: (row: Row) => string | undefined;
  /** CSS height of the frame. */
  height?: string;
  /** The last rows are in view: load more. */
  onEnd?: () => void;
  /** Rows that exist, if not all of them are here. */
  total?: number;
}

const rowPx = 36;
const overscan = 8;

interface Order {
  id: string;
  isDown: boolean;
}

export function Table<Row>(props: TableProps<Row>) {
  const { label, columns, keyOf, onOpen, selected, flashOf, height, onEnd, total } = props;
  const [order, setOrder] = useState<Order | undefined>(undefined);
  const [cursor, setCursor] = useState(0);
  const rows = sorted(props.rows, columns, order);
  const { frame, onScroll, first, last, reveal, focus, moves } = useVirtualRows({
    count: rows.length,
    rowPx,
    overscan,
    headRows: 1,
  });

  useEffect(() => {
    if (onEnd && last >= rows.length) onEnd();
  }, [last, rows.length, onEnd]);

  const moveTo = (index: number) => {
    const target = Math.max(0, Math.min(rows.length - 1, index));
    setCursor(target);
    reveal(target);
    focus(target);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const at = (event.target as HTMLElement).dataset.row;
    if (at === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const index = Number(at);
    const steps: Record<string, () => void> = {
      ...moves(index, moveTo),
      Enter: () => {
        const row = rows[index];
        if (row !== undefined) onOpen?.(row);
      },
    };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    step();
  };

  // On narrow screens there are no others: a span of more columns would make room for them.
  const spanned = columns.filter(({ isMinor }) => isMinor !== true).length;
  const cursorShown = Math.min(Math.max(cursor, first), Math.max(first, last - 1));
  return (
    <div
      class="table-frame"
      ref={frame}
      style={height === undefined ? undefined : { '--table-height': height }}
      onScroll={onScroll}
    >
      <table class="table" aria-label={label} aria-rowcount={(total ?? rows.length) + 1} onKeyDown={onKeyDown}>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => (
              <Head key={column.id} column={column} order={order} onOrder={setOrder} />
            ))}
          </tr>
        </thead>
        <tbody>
          <Spacer rows={first} columns={spanned} />
          {rows.slice(first, last).map((row, offset) => {
            const index = first + offset;
            const key = keyOf(row);
            return (
              <tr
                key={key}
                data-row={index}
                data-key={key}
                data-flash={flashOf?.(row)}
                aria-rowindex={index + 2}
                aria-selected={selected === undefined ? undefined : selected === key}
                tabIndex={index === cursorShown ? 0 : -1}
                onFocus={() => setCursor(index)}
                onClick={(event) => {
                  const isOther = (event.target as Element).closest('a, button, input') !== null;
                  if (!isOther) onOpen?.(row);
                }}
              >
                {columns.map((column) => (
                  <td key={column.id} class={classOf(column)}>
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
          <Spacer rows={rows.length - last} columns={spanned} />
        </tbody>
      </table>
    </div>
  );
}

function Head<Row>({
  column,
  order,
  onOrder,
}: {
  column: Column<Row>;
  order: Order | undefined;
  onOrder: (order: Order) => void;
}) {
  const { id, head, sortBy, width } = column;
  const isOrdered = order?.id === id;
  const state = isOrdered ? (order.isDown ? 'descending' : 'ascending') : undefined;
  return (
    <th scope="col" class={classOf(column)} aria-sort={state} style={width === undefined ? undefined : { width }}>
      {sortBy ? (
        <button
          type="button"
          onClick={() => onOrder({ id, isDown: isOrdered ? !order.isDown : column.isNumber === true })}
        >
          {head} {isOrdered && <span aria-hidden="true">{order.isDown ? '↓' : '↑'}</span>}
        </button>
      ) : (
        head
      )}
    </th>
  );
}

/** Stands for rows that are out of view. */
function Spacer({ rows, columns }: { rows: number; columns: number }) {
  if (rows <= 0) return null;
  return (
    <tr class="spacer" aria-hidden="true">
      <td colSpan={columns} style={{ height: `${rows * rowPx}px` }} />
    </tr>
  );
}

function classOf({ isNumber, isMinor }: { isNumber?: boolean; isMinor?: boolean }): string | undefined {
  const names = [isNumber && 'number', isMinor && 'minor'].filter(Boolean);
  return names.length === 0 ? undefined : names.join(' ');
}

function sorted<Row>(rows: readonly Row[], columns: readonly Column<Row>[], order: Order | undefined): readonly Row[] {
  const by = columns.find(({ id }) => id === order?.id)?.sortBy;
  if (!order || !by) return rows;
  const factor = order.isDown ? -1 : 1;
  const compare = (a: number | string, b: number | string) => (a < b ? -1 : a > b ? 1 : 0);
  return rows.toSorted((a, b) => factor * compare(by(a), by(b)));
}
