// Plots over time, with a legend that has the newest figures as text; and sparklines.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { timeOfDay } from './format.ts';
import { Panel } from './parts.tsx';
import { theme } from './theme.ts';

export interface Series {
  name: string;
  values: readonly (number | null)[];
  /** The name of a colour: `--accent`. */
  colour: string;
  isDashed?: boolean;
}

/** @param times seconds since the epoch, @param format how a value is written */
export function Plot({
  title,
  times,
  series,
  format,
  actions,
  isBinary = false,
}: {
  title: string;
  times: readonly number[];
  series: readonly Series[];
  format: (value: number | null | undefined) => string;
  actions?: ComponentChildren;
  /** The axis has powers of two, as sizes in bytes have. */
  isBinary?: boolean;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const shown = theme.value;
  const names = series.map(({ name }) => name).join();
  const latest = useRef({ times, series, format });
  latest.current = { times, series, format };

  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const made = new uPlot(optionsOf(element, latest, isBinary), dataOf(latest.current), element);
    plot.current = made;
    const observer = new ResizeObserver(() =>
      made.setSize({ width: element.clientWidth, height: element.clientHeight }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shown, names, isBinary]);

  useEffect(() => {
    plot.current?.setData(dataOf(latest.current));
  }, [times, series]);

  const newest = series.map(({ name, values }) => `${name} ${format(values.at(-1))}`).join(', ');
  const since = times[0] === undefined ? 'no data yet' : `since ${timeOfDay(times[0] * 1000)}`;
  return (
    <Panel title={title} actions={actions} isFlush>
      <figure class="plot">
        <figcaption class="legend">
          {series.map(({ name, values, colour, isDashed }) => (
            <span key={name}>
              <span
                class="swatch"
                style={{ borderTopColor: `var(${colour})`, borderTopStyle: isDashed ? 'dotted' : 'solid' }}
              />
              {name} <b>{format(values.at(-1))}</b>
            </span>
          ))}
        </figcaption>
        <div class="plot-canvas" ref={box} role="img" aria-label={`${title} ${since}: ${newest}`} />
      </figure>
    </Panel>
  );
}

const powersOfTwo = Array.from({ length: 50 }, (_, power) => 2 ** power);
const secondsOfMinutes = 300;
/** Samples are a second apart. */
const gapSeconds = 5;

/** Times of day, with their seconds where the plot shows a few minutes only. */
function timesOf(values: readonly number[]): string[] {
  const hasSeconds = (values.at(-1) ?? 0) - (values[0] ?? 0) < secondsOfMinutes;
  return values.map((value) => timeOfDay(value * 1000).slice(0, hasSeconds ? 8 : 5));
}

interface Latest {
  current: { times: readonly number[]; series: readonly Series[]; format: (value: number) => string };
}

function dataOf({ times, series }: Latest['current']): uPlot.AlignedData {
  return [times as number[], ...series.map(({ values }) => values as (number | null)[])];
}

/** Where there is nothing for longer than a busy server is late with a sample, in pixels. */
function gapsIn(plot: uPlot, first: number, last: number): [from: number, to: number][] {
  const times = plot.data[0];
  const gaps: [from: number, to: number][] = [];
  for (let at = first + 1; at <= last; at += 1) {
    const [before = 0, after = 0] = [times[at - 1], times[at]];
    if (after - before > gapSeconds) gaps.push([plot.valToPos(before, 'x', true), plot.valToPos(after, 'x', true)]);
  }
  return gaps;
}

function optionsOf(element: HTMLElement, latest: Latest, isBinary: boolean): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const font = `11px ${style.getPropertyValue('--sans')}`;
  const axis = {
    stroke: colour('--muted'),
    font,
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
  };
  return {
    width: element.clientWidth,
    height: element.clientHeight,
    legend: { show: false },
    cursor: { y: false, points: { size: 5 } },
    scales: { y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.15)] } },
    padding: [10, 26, 0, 0],
    axes: [
      { ...axis, size: 26, gap: 4, space: 84, values: (_plot, values) => timesOf(values) },
      {
        ...axis,
        size: 66,
        space: 34,
        values: (_plot, values) => values.map((value) => latest.current.format(value)),
        ...(isBinary && { incrs: powersOfTwo }),
      },
    ],
    series: [
      {},
      ...latest.current.series.map(({ name, colour: of, isDashed }, index) => ({
        label: name,
        stroke: colour(of),
        width: 1.75,
        points: { show: false },
        // A second without requests has no duration, and the line goes on over it. What nobody has measured is a gap.
        gaps: (plot: uPlot, _series: number, first: number, last: number) => gapsIn(plot, first, last),
        ...(isDashed && { dash: [3, 3] }),
        ...(index === 0 && !isDashed && { fill: `${colour(of)}1f` }),
      })),
    ],
  };
}
