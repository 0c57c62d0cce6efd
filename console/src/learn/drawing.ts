// Where things are in the drawing of the cluster: the controller above the brokers, the brokers above the partitions of one topic, and
// lines from the controller to the leaders, from leaders to their partitions, and from partitions to the rest of their ISR.
import type { ClusterPicture, TopicPicture } from './kafka-tree.ts';

export interface Box {
  id: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** elects: from the controller. leads: from a leader to its partition. follows: from a replica in sync to its partition. */
export interface Line {
  id: string;
  kind: 'elects' | 'leads' | 'follows';
  from: [x: number, y: number];
  to: [x: number, y: number];
}

export interface Drawing {
  width: number;
  height: number;
  controller: Box | undefined;
  /** By the id of the broker; also of brokers that have died, as long as a partition names them. */
  brokers: readonly (Box & { brokerId: number; isAlive: boolean; isController: boolean })[];
  partitions: readonly (Box & { partition: number })[];
  lines: readonly Line[];
  /** Partitions of the topic that are not drawn. */
  leftOut: number;
}

/** More would be too small to see. */
const partitionsMax = 6;
const [gap, brokerWidth, brokerHeight, partitionWidth, partitionHeight] = [16, 132, 52, 88, 56];
const [controllerY, brokersY, partitionsY] = [0, 86, 206];

/** @param topic the topic whose partitions are drawn */
export function drawingOf({ controller, brokers }: ClusterPicture, topic: TopicPicture | undefined): Drawing {
  const alive = new Set(brokers.map(({ id }) => id));
  const shown = topic?.partitions.slice(0, partitionsMax) ?? [];
  const named = shown.flatMap(({ replicas, leader, isr }) => [...replicas, leader, ...isr]).filter((id) => id >= 0);
  const ids = [...new Set([...alive, ...named])].sort((a, b) => a - b);
  const widthOf = (count: number, each: number) => Math.max(0, count * (each + gap) - gap);
  const width = Math.max(360, widthOf(ids.length, brokerWidth), widthOf(shown.length, partitionWidth));
  const row = (count: number, each: number, index: number) => (width - widthOf(count, each)) / 2 + index * (each + gap);

  const brokerBoxes = ids.map((brokerId, index) => ({
    id: `broker-${brokerId}`,
    brokerId,
    isAlive: alive.has(brokerId),
    isController: controller?.brokerId === brokerId,
    x: row(ids.length, brokerWidth, index),
    y: brokersY,
    width: brokerWidth,
    height: brokerHeight,
  }));
  const partitionBoxes = shown.map(({ partition }, index) => ({
    id: `partition-${partition}`,
    partition,
    x: row(shown.length, partitionWidth, index),
    y: partitionsY,
    width: partitionWidth,
    height: partitionHeight,
  }));
  const controllerBox = controller && {
    id: 'controller',
    x: width / 2 - brokerWidth / 2,
    y: controllerY,
    width: brokerWidth,
    height: 40,
  };
  const lines: Line[] = [];
  const brokerOf = (id: number) => brokerBoxes.find(({ brokerId }) => brokerId === id);
  if (controllerBox) {
    for (const leader of new Set(shown.map(({ leader }) => leader))) {
      const box = brokerOf(leader);
      if (box) lines.push({ id: `elects-${leader}`, kind: 'elects', from: bottomOf(controllerBox), to: topOf(box) });
    }
  }
  for (const [index, { partition, leader, isr }] of shown.entries()) {
    const to = partitionBoxes[index];
    if (!to) continue;
    for (const id of new Set([leader, ...isr])) {
      const from = brokerOf(id);
      const kind = id === leader ? 'leads' : 'follows';
      if (from) lines.push({ id: `${kind}-${id}-${partition}`, kind, from: bottomOf(from), to: topOf(to) });
    }
  }
  return {
    width,
    height: shown.length === 0 ? brokersY + brokerHeight : partitionsY + partitionHeight,
    controller: controllerBox,
    brokers: brokerBoxes,
    partitions: partitionBoxes,
    lines,
    leftOut: (topic?.partitions.length ?? 0) - shown.length,
  };
}

function bottomOf({ x, y, width, height }: Box): [number, number] {
  return [x + width / 2, y + height];
}

function topOf({ x, y, width }: Box): [number, number] {
  return [x + width / 2, y];
}

/** A curve that leaves and arrives straight. */
export function curveOf({ from: [x1, y1], to: [x2, y2] }: Pick<Line, 'from' | 'to'>): string {
  const middle = (y1 + y2) / 2;
  return `M${x1} ${y1}C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}`;
}
