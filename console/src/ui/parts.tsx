// The small parts: buttons, badges, tiles, panels, texts for errors and for emptiness.
import type { ComponentChildren } from 'preact';
import { textOfError } from '../live/errors.ts';
import { ago, dateAndTime } from './format.ts';
import { Icon, type IconName } from './icon.tsx';

export type Kind = 'plain' | 'accent' | 'good' | 'warn' | 'bad' | 'violet';

export function Button({
  children,
  icon,
  kind,
  onClick,
  type = 'button',
  isDisabled = false,
  title,
}: {
  children: ComponentChildren;
  icon?: IconName;
  kind?: 'primary' | 'danger' | 'quiet';
  onClick?: () => void;
  type?: 'button' | 'submit';
  isDisabled?: boolean;
  title?: string;
}) {
  return (
    <button class="button" type={type} data-kind={kind} disabled={isDisabled} title={title} onClick={onClick}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

/** A button that shows only an icon; its label is for screen readers, and a tooltip. */
export function IconButton({
  icon,
  label,
  onClick,
  isPressed,
}: {
  icon: IconName;
  label: string;
  onClick: () => void;
  isPressed?: boolean;
}) {
  return (
    <button
      class="button"
      type="button"
      data-kind="icon"
      aria-label={label}
      aria-pressed={isPressed}
      title={label}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}

export function Badge({ children, kind = 'plain' }: { children: ComponentChildren; kind?: Kind }) {
  return (
    <span class="badge" data-kind={kind}>
      {children}
    </span>
  );
}

/** One figure. With a link, the whole tile is one. */
export function Tile({
  label,
  value,
  note,
  kind = 'plain',
  href,
  children,
}: {
  label: string;
  value: ComponentChildren;
  note?: ComponentChildren;
  kind?: Kind;
  href?: string;
  children?: ComponentChildren;
}) {
  const inner = (
    <>
      <span class="tile-label">{label}</span>
      <span class="tile-value">{value}</span>
      {children}
      {note !== undefined && <span class="tile-note">{note}</span>}
    </>
  );
  return href === undefined ? (
    <div class="tile" data-kind={kind}>
      {inner}
    </div>
  ) : (
    <a class="tile" data-kind={kind} href={href}>
      {inner}
    </a>
  );
}

/** A surface with a heading. */
export function Panel({
  title,
  actions,
  children,
  isFlush = false,
}: {
  title?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
  /** The content goes to the edges, as tables do. */
  isFlush?: boolean;
}) {
  return (
    <section class="panel">
      {(title !== undefined || actions !== undefined) && (
        <div class="panel-head">
          {title !== undefined && <h2>{title}</h2>}
          {actions !== undefined && <div class="page-actions">{actions}</div>}
        </div>
      )}
      {isFlush ? children : <div class="panel-body">{children}</div>}
    </section>
  );
}

/** The heading of a page, with a sentence that says what it is for, and its actions. */
export function PageHead({
  title,
  above,
  children,
  actions,
}: {
  title: ComponentChildren;
  /** The page that this one belongs to. */
  above?: { text: string; href: string };
  children?: ComponentChildren;
  actions?: ComponentChildren;
}) {
  return (
    <>
      {above && (
        <nav class="crumbs" aria-label="Path">
          <a href={above.href}>{above.text}</a>
        </nav>
      )}
      <div class="page-head">
        <h1>{title}</h1>
        {actions !== undefined && <div class="page-actions">{actions}</div>}
        {children !== undefined && <p>{children}</p>}
      </div>
    </>
  );
}

/** What stands where nothing is yet: it says what would be here, and how to make one. */
export function Empty({
  icon,
  title,
  children,
  action,
}: {
  icon: IconName;
  title: string;
  children?: ComponentChildren;
  action?: ComponentChildren;
}) {
  return (
    <div class="empty">
      <Icon name={icon} />
      <h2>{title}</h2>
      {children !== undefined && <p>{children}</p>}
      {action}
    </div>
  );
}

/** What happened, and what to do about it. */
export function Problem({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const { title, detail, remedy, code, requestId } = textOfError(error);
  return (
    <div class="problem" role="alert">
      <strong>{title}</strong>
      <span>{detail}</span>
      {remedy !== undefined && <span>{remedy}</span>}
      {code !== undefined && (
        <span class="hint">
          <code>{code}</code>
          {requestId !== undefined && (
            <>
              {' '}
              request <code>{requestId}</code>
            </>
          )}
        </span>
      )}
      {onRetry && (
        <div>
          <Button icon="refresh" onClick={onRetry}>
            Try again
          </Button>
        </div>
      )}
    </div>
  );
}

/** How long ago something was, with the exact time as a tooltip. */
export function Ago({ at }: { at: number }) {
  return (
    <time dateTime={new Date(at).toISOString()} title={dateAndTime(at)}>
      {ago(at)}
    </time>
  );
}

/** A share of a whole, from 0 to 1, as a bar. */
export function Bar({ share, label, kind = 'accent' }: { share: number; label: string; kind?: Kind }) {
  const percent = Math.round(Math.min(1, Math.max(0, share)) * 100);
  return (
    <span
      class="bar"
      data-kind={kind}
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
    >
      <span style={{ width: `${percent}%` }} />
    </span>
  );
}

/** Choices of which one is taken. */
export function Choice<T extends string>({
  label,
  options,
  value,
  onChange,
}: {
  label: string;
  options: readonly { value: T; text: string }[];
  value: T;
  onChange: (value: T) => void;
}) {
  return (
    <fieldset class="tabs choice">
      <legend class="visually-hidden">{label}</legend>
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === value}
          onClick={() => onChange(option.value)}
        >
          {option.text}
        </button>
      ))}
    </fieldset>
  );
}
