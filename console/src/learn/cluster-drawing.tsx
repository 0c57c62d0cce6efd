// The drawing: the controller, the brokers and the partitions of one topic, with what leads where.
import { type Box, curveOf, drawingOf } from './drawing.ts';
import type { Mark } from './followed-nodes.ts';
import type { ClusterPicture, TopicPicture } from './kafka-tree.ts';

export function ClusterDrawing({
  picture,
  topic,
  marks,
}: {
  picture: ClusterPicture;
  topic: TopicPicture | undefined;
  marks: ReadonlyMap<string, Mark>;
}) {
  const drawing = drawingOf(picture, topic);
  const { width, height, controller, brokers, partitions, lines, leftOut } = drawing;
  return (
    <figure class="drawing">
      <div class="drawing-frame">
        <svg
          viewBox={`-8 -8 ${width + 16} ${height + 16}`}
          style={{ maxWidth: `${width + 16}px`, minWidth: `${Math.round(width * 0.7)}px` }}
          role="img"
          aria-label={textOf(picture, topic)}
        >
          {lines.map((line) => (
            <path key={line.id} class="line" data-kind={line.kind} d={curveOf(line)} />
          ))}
          {controller && (
            <Shape box={controller} kind="controller" mark={marks.get('/controller')}>
              {[`Controller ${picture.controller?.brokerId}`, `epoch ${picture.controller?.epoch}`]}
            </Shape>
          )}
          {brokers.map((box) => (
            <Shape
              key={box.id}
              box={box}
              kind={box.isAlive ? 'broker' : 'gone'}
              mark={marks.get(`/brokers/ids/${box.brokerId}`)}
            >
              {[`Broker ${box.brokerId}`, box.isAlive ? (box.isController ? 'is the controller' : 'alive') : 'gone']}
            </Shape>
          ))}
          {partitions.map((box) => {
            const state = topic?.partitions.find(({ partition }) => partition === box.partition);
            const kind = state && state.leader >= 0 ? 'partition' : 'gone';
            return (
              <Shape
                key={box.id}
                box={box}
                kind={kind}
                mark={marks.get(`/brokers/topics/${topic?.name}/partitions/${box.partition}/state`)}
              >
                {[
                  `P${box.partition}`,
                  state && state.leader >= 0 ? `led by ${state.leader}` : 'no leader',
                  `epoch ${state?.leaderEpoch}`,
                ]}
              </Shape>
            );
          })}
        </svg>
      </div>
      <figcaption class="legend hint">
        <Key kind="elects">the controller elects</Key>
        <Key kind="leads">leads the partition</Key>
        <Key kind="follows">in sync (ISR), may take over</Key>
        {leftOut > 0 && <span>{leftOut} more partitions are not drawn</span>}
      </figcaption>
    </figure>
  );
}

function Shape({
  box: { x, y, width, height },
  kind,
  mark,
  children,
}: {
  box: Box;
  kind: string;
  mark: Mark | undefined;
  children: readonly string[];
}) {
  const lineHeight = 15;
  const top = y + height / 2 - ((children.length - 1) * lineHeight) / 2;
  return (
    <g class="shape" data-kind={kind} data-mark={mark}>
      <rect x={x} y={y} width={width} height={height} rx="8" />
      {children.map((text, index) => (
        <text key={text} x={x + width / 2} y={top + index * lineHeight} data-line={index}>
          {text}
        </text>
      ))}
    </g>
  );
}

function Key({ kind, children }: { kind: string; children: string }) {
  return (
    <span>
      <svg class="line-key" viewBox="0 0 28 8" aria-hidden="true">
        <path class="line" data-kind={kind} d="M1 4H27" />
      </svg>
      {children}
    </span>
  );
}

/** What the drawing shows, for those who do not see it. */
function textOf({ controller, brokers }: ClusterPicture, topic: TopicPicture | undefined): string {
  const who = controller ? `Broker ${controller.brokerId} is the controller.` : 'There is no controller.';
  const alive = `Brokers alive: ${brokers.map(({ id }) => id).join(', ') || 'none'}.`;
  const led = topic?.partitions.map(
    ({ partition, leader, isr }) =>
      `Partition ${partition} of ${topic.name}: ${leader < 0 ? 'no leader' : `led by ${leader}`}, in sync ${isr.join(', ') || 'none'}.`,
  );
  return [who, alive, ...(led ?? [])].join(' ');
}
