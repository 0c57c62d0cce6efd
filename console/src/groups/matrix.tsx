// Members against the partitions of a topic: a mark where a member has one, with a word for it, so that it is not told by colour alone.
import { linkTo } from '../router.ts';
import { compact, count } from '../ui/format.ts';
import { Badge, Panel } from '../ui/parts.tsx';
import { type CellState, type MemberOf, rangesOf, type TopicMatrix } from './assignment-matrix.ts';

/** A matrix with more cells would be slow, and could not be read; then each member has its partitions as ranges. */
const cellsMax = 3000;

const marks: Record<CellState, { mark: string; word: string }> = {
  owned: { mark: '●', word: 'owns it' },
  revoking: { mark: '◐', word: 'gives it up' },
  coming: { mark: '○', word: 'will get it' },
};

export function Matrix({ matrix, members }: { matrix: TopicMatrix; members: readonly MemberOf[] }) {
  const { topic, partitions, withoutOwner } = matrix;
  const isSmall = partitions.length * (members.length + 2) <= cellsMax;
  return (
    <Panel
      isFlush
      title={
        <a class="mono" href={linkTo('topics', [topic])}>
          {topic}
        </a>
      }
      actions={
        <>
          <span class="hint">lag {count(matrix.lag)}</span>
          {withoutOwner > 0 && members.length > 0 && <Badge kind="warn">{withoutOwner} without an owner</Badge>}
        </>
      }
    >
      {members.length === 0 ? (
        <p class="table-note hint">
          The group has no members: nobody reads these {count(partitions.length)} partitions.
        </p>
      ) : isSmall ? (
        <Cells matrix={matrix} members={members} />
      ) : (
        <Ranges matrix={matrix} members={members} />
      )}
    </Panel>
  );
}

function Cells({
  matrix: { topic, partitions, cells },
  members,
}: {
  matrix: TopicMatrix;
  members: readonly MemberOf[];
}) {
  return (
    <section class="matrix-frame" aria-label={`Members and partitions of ${topic}`} tabIndex={0}>
      <table class="matrix">
        <thead>
          <tr>
            <th scope="col">Member</th>
            {partitions.map(({ partition }) => (
              <th key={partition} scope="col" class="number">
                <span class="visually-hidden">Partition </span>
                {partition}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {members.map(({ memberId, clientId, away }, index) => (
            <tr key={memberId}>
              <th scope="row">
                <span class="mono" title={memberId}>
                  {clientId ?? memberId}
                </span>
                {away && <Badge kind="warn">away</Badge>}
              </th>
              {partitions.map(({ partition }) => {
                const state = cells[index]?.get(partition);
                return (
                  <td key={partition} data-state={state} title={state && `${partition}: ${marks[state].word}`}>
                    {state && (
                      <>
                        <span aria-hidden="true">{marks[state].mark}</span>
                        <span class="visually-hidden">{marks[state].word}</span>
                      </>
                    )}
                  </td>
                );
              })}
            </tr>
          ))}
          <tr class="matrix-lag">
            <th scope="row">Lag</th>
            {partitions.map(({ partition, lag }) => (
              <td key={partition} title={count(lag)}>
                {compact(lag)}
              </td>
            ))}
          </tr>
        </tbody>
      </table>
      <p class="table-note legend hint">
        {Object.entries(marks).map(([state, { mark, word }]) => (
          <span key={state}>
            <span aria-hidden="true">{mark}</span> {word}
          </span>
        ))}
      </p>
    </section>
  );
}

function Ranges({ matrix: { cells }, members }: { matrix: TopicMatrix; members: readonly MemberOf[] }) {
  return (
    <dl class="facts panel-body member-ranges">
      {members.map(({ memberId, clientId }, index) => {
        const own = [...(cells[index] ?? [])];
        const numbers = own.filter(([, state]) => state === 'owned').map(([partition]) => partition);
        const others = own.length - numbers.length;
        return (
          <div class="key-line" key={memberId}>
            <dt class="mono" title={memberId}>
              {clientId ?? memberId}
            </dt>
            <dd>
              {numbers.length === 0 ? <span class="hint">none</span> : rangesOf(numbers)}
              {others > 0 && <span class="hint"> and {others} on the way</span>}
            </dd>
          </div>
        );
      })}
    </dl>
  );
}
