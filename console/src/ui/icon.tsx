// The icons: strokes on a grid of 24, drawn here so that nothing is loaded for them.

const shapes = {
  overview: 'M3 17c3 0 3-3 6-3s3 3 6 3 3-3 6-3M3 21c3 0 3-3 6-3s3 3 6 3 3-3 6-3M6 11V7m6 4V4m6 7V8',
  tree: 'M5 4v13a2 2 0 0 0 2 2h4M5 9h6M14 6h6v6h-6zM14 16h6v6h-6z',
  activity: 'M3 12h4l3-8 4 16 3-8h4',
  sessions: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 7v5l3 2',
  topics: 'M4 6h16M4 12h16M4 18h16M8 4v4M14 10v4M18 16v4',
  groups:
    'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM2.5 20c0-3.5 3-6 6.5-6s6.5 2.5 6.5 6M16 4.500a3.5 3.5 0 0 1 0 6.500M18 14.500c2.2.8 3.5 3 3.5 5.5',
  brokers: 'M4 4h16v6H4zM4 14h16v6H4zM8 7h.01M8 17h.01',
  learn: 'M3 6c4-1.5 7-1 9 1 2-2 5-2.5 9-1v12c-4-1.5-7-1-9 1-2-2-5-2.5-9-1zM12 7v12',
  guide: 'M5 4h11a3 3 0 0 1 3 3v13H8a3 3 0 0 1-3-3zM5 17a3 3 0 0 1 3-3h11M9 8h6',
  code: 'M8 8l-4 4 4 4M16 8l4 4-4 4M13.500 5l-3 14',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM20 20l-4-4',
  pause: 'M8 5v14M16 5v14',
  play: 'M7 5l12 7-12 7z',
  close: 'M6 6l12 12M18 6L6 18',
  menu: 'M4 7h16M4 12h16M4 17h16',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 3v2m0 14v2M3 12h2m14 0h2M5.6 5.6 7 7m10 10 1.4 1.400M5.6 18.4 7 17M17 7l1.4-1.4',
  moon: 'M20 14.500A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.500Z',
  keyboard: 'M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M8 14h8',
  plus: 'M12 5v14M5 12h14',
  edit: 'M4 20h4L19 9l-4-4L4 16zM13 7l4 4',
  trash: 'M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
  chevron: 'M9 6l6 6-6 6',
  right: 'M5 12h14M13 6l6 6-6 6',
  refresh: 'M20 11a8 8 0 0 0-14.5-3.500L4 9M4 4v5h5M4 13a8 8 0 0 0 14.5 3.500L20 15M20 20v-5h-5',
  download: 'M12 4v12M7 11l5 5 5-5M4 20h16',
  upload: 'M12 16V4M7 9l5-5 5 5M4 20h16',
  pin: 'M9 4h6l-1 6 4 4H6l4-4zM12 14v6',
  check: 'M5 12.500l4.5 4.500L19 7',
  node: 'M6 3h8l4 4v14H6zM14 3v4h4',
  folder: 'M3 6h6l2 2h10v11H3z',
  ephemeral: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 8v4l-3 2',
  container: 'M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8',
  ttl: 'M7 3h10M7 21h10M8 3c0 6 8 6 8 12v6M16 3c0 6-8 6-8 12v6',
  user: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4 21c0-4 3.5-7 8-7s8 3 8 7',
} as const;

export type IconName = keyof typeof shapes;

/** Beside a text that says the same, or within a labelled button: hidden from screen readers. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={shapes[name]} />
    </svg>
  );
}

export function Logo() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="var(--accent)" />
      <g fill="none" stroke="var(--on-accent)" stroke-width="2.4" stroke-linecap="round">
        <path d="M6 11h8c3.2 0 3.2 5 6.4 5H26" />
        <path d="M6 16.500h7c3.2 0 3.2 5 6.4 5H26" opacity=".75" />
        <path d="M6 22h6c1.6 0 2.4 1.2 3.2 2.4" opacity=".5" />
      </g>
    </svg>
  );
}
