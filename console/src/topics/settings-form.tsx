// The settings of a topic, and what a change would change, before it is made.
import type { Topic } from '@weirkeeper/client';
import { useState } from 'preact/hooks';
import { api, isReadOnly } from '../live/session.ts';
import { FormDialog } from '../ui/dialog.tsx';
import { Field, Select } from '../ui/form.tsx';
import { counted } from '../ui/format.ts';
import { Button, Panel } from '../ui/parts.tsx';
import { tell } from '../ui/toasts.tsx';
import { type Setting, type SettingChange, settingChanges, settings, settingText } from './settings.ts';

export function SettingsForm({ topic, onSaved }: { topic: Topic; onSaved: () => void }) {
  const [texts, setTexts] = useState<ReadonlyMap<string, string>>(new Map());
  const [isAsking, setAsking] = useState(false);
  const current: Readonly<Record<string, string | number>> = topic.config;
  const { changes, errors } = settingChanges(current, texts);
  const save = async () => {
    const config = Object.fromEntries(changes.map(({ setting, to }) => [setting.name, to]));
    await api().admin.topics.alter(topic.name, { config });
    setAsking(false);
    setTexts(new Map());
    onSaved();
    tell(`${counted(changes.length, 'setting')} of ${topic.name} changed`);
  };
  return (
    <Panel>
      <div class="settings">
        {settings.map((setting) => (
          <SettingField
            key={setting.name}
            setting={setting}
            current={current[setting.name] ?? ''}
            text={texts.get(setting.name)}
            error={errors.get(setting.name)}
            onInput={(text) => setTexts(new Map(texts).set(setting.name, text))}
          />
        ))}
      </div>
      {!isReadOnly && (
        <div class="dialog-foot settings-foot">
          <span class="hint" role="status">
            {changes.length === 0
              ? 'Nothing is changed.'
              : `${counted(changes.length, 'setting')} changed, not saved yet.`}
          </span>
          {texts.size > 0 && <Button onClick={() => setTexts(new Map())}>Undo</Button>}
          <Button kind="primary" isDisabled={changes.length === 0 || errors.size > 0} onClick={() => setAsking(true)}>
            Review and save
          </Button>
        </div>
      )}
      {isAsking && (
        <FormDialog
          title={`Change ${counted(changes.length, 'setting')} of ${topic.name}?`}
          submit="Save"
          onSubmit={save}
          onClose={() => setAsking(false)}
        >
          <SettingsDiff changes={changes} />
        </FormDialog>
      )}
    </Panel>
  );
}

function SettingField({
  setting,
  current,
  text,
  error,
  onInput,
}: {
  setting: Setting;
  current: string | number;
  text: string | undefined;
  error: string | undefined;
  onInput: (text: string) => void;
}) {
  const { name, about, options } = setting;
  const value = text ?? settingText(setting, current);
  if (isReadOnly)
    return (
      <div class="field">
        <span class="field-name mono">{name}</span>
        <b>{value}</b>
        <small>{about}</small>
      </div>
    );
  if (options)
    return (
      <Select
        label={name}
        value={value}
        onChange={onInput}
        hint={about}
        options={options.map((option) => ({ value: option, text: option }))}
      />
    );
  return <Field label={name} value={value} onInput={onInput} hint={about} error={error} isMono />;
}

function SettingsDiff({ changes }: { changes: readonly SettingChange[] }) {
  return (
    <div class="diff">
      {changes.flatMap(({ setting, from, to }) => [
        <div key={`-${setting.name}`} data-kind="gone">
          <span aria-hidden="true">− </span>
          <span class="visually-hidden">was: </span>
          {setting.name} = {settingText(setting, from)}
        </div>,
        <div key={`+${setting.name}`} data-kind="new">
          <span aria-hidden="true">+ </span>
          <span class="visually-hidden">becomes: </span>
          {setting.name} = {settingText(setting, to)}
        </div>,
      ])}
    </div>
  );
}
