// The form for a new topic.
import type { TopicConfig } from '@weirkeeper/client';
import { useState } from 'preact/hooks';
import { brokers } from '../live/cluster.ts';
import { api } from '../live/session.ts';
import { go, linkTo } from '../router.ts';
import { FormDialog } from '../ui/dialog.tsx';
import { Field, Select } from '../ui/form.tsx';
import { tell } from '../ui/toasts.tsx';
import { parseSetting, settings } from './settings.ts';

type Policy = TopicConfig['cleanup.policy'];

/** Settings that one decides on at the beginning; the others are on the page of the topic. */
const asked = ['retention.ms', 'retention.bytes'] as const;
const nameRule = /^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$/;

export function CreateTopic({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('');
  const [partitions, setPartitions] = useState('3');
  const [replication, setReplication] = useState('1');
  const [policy, setPolicy] = useState<Policy>('delete');
  const [texts, setTexts] = useState<ReadonlyMap<string, string>>(new Map());
  const nameError = name === '' || nameRule.test(name) ? undefined : 'Use 1 to 249 of a-z, A-Z, 0-9, ".", "_" and "-".';
  const numberError = (text: string) => (/^[1-9]\d{0,8}$/.test(text) ? undefined : 'Enter a whole number from 1.');
  const given = settings.filter((setting) => (texts.get(setting.name) ?? '').trim() !== '');
  const parsed = given.map((setting) => ({ setting, result: parseSetting(setting, texts.get(setting.name) ?? '') }));
  const errorOf = (of: string) => {
    const result = parsed.find(({ setting }) => setting.name === of)?.result;
    return result && 'error' in result ? result.error : undefined;
  };
  const isReady =
    nameRule.test(name) &&
    numberError(partitions) === undefined &&
    numberError(replication) === undefined &&
    parsed.every(({ result }) => 'value' in result);
  const submit = async () => {
    const config: Record<string, string | number> = policy === 'delete' ? {} : { 'cleanup.policy': policy };
    for (const { setting, result } of parsed) if ('value' in result) config[setting.name] = result.value;
    await api().admin.topics.create({
      name,
      partitions: Number(partitions),
      replicationFactor: Number(replication),
      config,
    });
    onClose();
    tell(`Topic ${name} is created`);
    go(linkTo('topics', [name]));
  };
  return (
    <FormDialog title="New topic" submit="Create" onSubmit={submit} onClose={onClose} isReady={isReady}>
      <Field
        label="Name"
        value={name}
        onInput={setName}
        error={nameError}
        placeholder="clicks"
        isMono
        isFocused
        isRequired
      />
      <div class="form-columns">
        <Field
          label="Partitions"
          type="number"
          value={partitions}
          onInput={setPartitions}
          error={numberError(partitions)}
          hint="Members of a group share them. They can only grow."
        />
        <Field
          label="Replicas"
          type="number"
          value={replication}
          onInput={setReplication}
          error={numberError(replication)}
          hint={`Brokers that may lead each partition; ${brokers.value.length} ${brokers.value.length === 1 ? 'is' : 'are'} alive.`}
        />
      </div>
      <Select<Policy>
        label="What happens to old records"
        value={policy}
        onChange={setPolicy}
        options={[
          { value: 'delete', text: 'They are deleted' },
          { value: 'compact', text: 'The newest record of each key is kept (compact)' },
          { value: 'compact,delete', text: 'Both' },
        ]}
      />
      <div class="form-columns">
        {asked.map((of) => {
          const setting = settings.find(({ name }) => name === of);
          return (
            <Field
              key={of}
              label={of === 'retention.ms' ? 'Keep for' : 'Keep at most, each partition'}
              value={texts.get(of) ?? ''}
              onInput={(text) => setTexts(new Map(texts).set(of, text))}
              error={errorOf(of)}
              placeholder={of === 'retention.ms' ? '7 d' : '1 GiB'}
              hint={`${setting?.about} ${setting?.name}`}
            />
          );
        })}
      </div>
    </FormDialog>
  );
}
