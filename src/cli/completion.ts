// Completion scripts for shells, made of the command tree. Names of topics, groups and nodes are asked of the server.
import type { Command, Option } from 'commander';
import { formats } from './output.ts';

/** A command as completion sees it. */
interface Entry {
  /** Its words after `weir`: `node ls`; empty for `weir` itself. */
  path: string;
  subcommands: { name: string; summary: string }[];
  options: { flags: string[]; description: string }[];
  /** What its first argument is: it decides what is asked of the server. */
  argument: string;
}

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** For each kind of argument the command that prints its names; nodes are asked for with the folder of the word. */
const sources: Readonly<Record<string, string>> = {
  topic: 'topic ls',
  group: 'group ls',
  name: 'context ls',
  session: 'session ls',
  id: 'broker ls',
};
const nodeArguments: ReadonlySet<string> = new Set(['path', 'other', 'to', 'from']);

/** The script of a shell that completes the commands of `program`. */
export function completionScript(program: Command, shell: Shell): string {
  const entries = entriesOf(program);
  const globals = optionsOf(program);
  const valued = [...new Set(valuedFlags(program))];
  if (shell === 'bash') return bashScript(entries, globals, valued);
  if (shell === 'zsh') return zshScript(entries, globals, valued);
  return fishScript(entries, globals, valued);
}

function entriesOf(command: Command, words: readonly string[] = []): Entry[] {
  const [argument] = command.registeredArguments;
  return [
    {
      path: words.join(' '),
      subcommands: command.commands.map((each) => ({ name: each.name(), summary: each.summary() })),
      options: words.length === 0 ? [] : optionsOf(command),
      argument: kindOf(argument?.name() ?? ''),
    },
    ...command.commands.flatMap((each) => entriesOf(each, [...words, each.name()])),
  ];
}

function kindOf(name: string): string {
  if (nodeArguments.has(name)) return 'node';
  return name in sources ? name : name === 'file' ? 'file' : '';
}

function optionsOf(command: Command): Entry['options'] {
  return command.options
    .filter((option) => !option.hidden)
    .map((option) => ({ flags: flagsOf(option), description: option.description }));
}

function flagsOf({ short, long }: Option): string[] {
  return [short, long].filter((flag): flag is string => flag !== undefined && flag !== null);
}

/** The flags of all commands after which a value stands. */
function valuedFlags(command: Command): string[] {
  const own = command.options.filter((option) => option.required || option.optional).flatMap(flagsOf);
  return [...own, ...command.commands.flatMap(valuedFlags)];
}

/** Lines of a `case` that set variables by the command. */
function cases(entries: readonly Entry[], globals: Entry['options']): string {
  return entries
    .map(({ path, subcommands, options, argument }) => {
      const flags = [...options, ...globals].flatMap((option) => option.flags).join(' ');
      const names = subcommands.map(({ name }) => name).join(' ');
      return `    '${path}') subcommands='${names}' options='${flags}' kind='${argument}' ;;`;
    })
    .join('\n');
}

/** How names are asked for, in bash and zsh alike. */
function sourceCases(): string {
  const lines = Object.entries(sources).map(
    ([kind, command]) => `    ${kind}) command weir "\${globals[@]}" -q --timeout 2s -o name ${command} 2>/dev/null ;;`,
  );
  return [
    ...lines,
    `    node) command weir "\${globals[@]}" -q --timeout 2s -o name node ls "\${word%/*}/" 2>/dev/null ;;`,
  ].join('\n');
}

/** The functions that bash and zsh share: what stands at a place of the command line, and the names that a server knows. */
function lookups(entries: readonly Entry[], globals: Entry['options']): string {
  return `_weir_names() {
  local kind=$1 word=$2
  case $kind in
${sourceCases()}
  esac
}
_weir_at() {
  case $1 in
${cases(entries, globals)}
  esac
}
_weir_is_command() {
  local subcommands='' options='' kind=''
  _weir_at "$1"
  [[ " $subcommands " == *" $2 "* ]]
}
`;
}

function bashScript(entries: readonly Entry[], globals: Entry['options'], valued: readonly string[]): string {
  return `# Completion of weir for bash: eval "$(weir completion bash)"
${lookups(entries, globals)}_weir() {
  local word=\${COMP_WORDS[COMP_CWORD]} at='' i each subcommands='' options='' kind='' previous=''
  local -a globals=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    each=\${COMP_WORDS[i]}
    case $previous in
      -u | --url | --token | --context) globals+=("$previous" "$each") ;;
    esac
    case " ${valued.join(' ')} " in
      *" $previous "*) previous='' ; continue ;;
    esac
    previous=$each
    case $each in
      -*) ;;
      *) _weir_is_command "$at" "$each" && at=\${at:+$at }$each ;;
    esac
  done
  _weir_at "$at"
  if [[ $previous == -o || $previous == --output ]]; then
    COMPREPLY=($(compgen -W '${formats.join(' ')}' -- "$word"))
  elif [[ " ${valued.join(' ')} " == *" $previous "* ]]; then
    COMPREPLY=($(compgen -f -- "$word"))
  elif [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  elif [[ -n $subcommands ]]; then
    COMPREPLY=($(compgen -W "$subcommands" -- "$word"))
  elif [[ $kind == file ]]; then
    COMPREPLY=($(compgen -f -- "$word"))
  elif [[ -n $kind ]]; then
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(_weir_names "$kind" "$word")" -- "$word"))
  fi
}
complete -o nosort -F _weir weir
`;
}

function zshScript(entries: readonly Entry[], globals: Entry['options'], valued: readonly string[]): string {
  return `#compdef weir
# Completion of weir for zsh: weir completion zsh >"\${fpath[1]}/_weir"
${lookups(entries, globals)}_weir() {
  local word=\${words[CURRENT]} at='' each subcommands='' options='' kind='' previous='' i
  local -a globals
  for ((i = 2; i < CURRENT; i++)); do
    each=\${words[i]}
    case $previous in
      -u | --url | --token | --context) globals+=("$previous" "$each") ;;
    esac
    if [[ " ${valued.join(' ')} " == *" $previous "* ]]; then previous=''; continue; fi
    previous=$each
    if [[ $each != -* ]] && _weir_is_command "$at" "$each"; then at=\${at:+$at }$each; fi
  done
  _weir_at "$at"
  if [[ $previous == -o || $previous == --output ]]; then
    compadd -- ${formats.join(' ')}
  elif [[ " ${valued.join(' ')} " == *" $previous "* ]]; then
    _files
  elif [[ $word == -* ]]; then
    compadd -- \${(z)options}
  elif [[ -n $subcommands ]]; then
    compadd -- \${(z)subcommands}
  elif [[ $kind == file ]]; then
    _files
  elif [[ -n $kind ]]; then
    compadd -- \${(f)"$(_weir_names "$kind" "$word")"}
  fi
}
compdef _weir weir
`;
}

function fishScript(entries: readonly Entry[], globals: Entry['options'], valued: readonly string[]): string {
  const at = (path: string) => `-n '__weir_at "${path}"'`;
  const option = (condition: string, { flags, description }: Entry['options'][number]) => {
    const names = flags
      .map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`))
      .join(' ');
    const takes = flags.some((flag) => valued.includes(flag)) ? ' -r' : '';
    return `complete -c weir ${condition}${names}${takes} -d '${fishText(description)}'`;
  };
  const lines = entries.flatMap(({ path, subcommands, options, argument }) => [
    ...subcommands.map(({ name, summary }) => `complete -c weir ${at(path)} -a ${name} -d '${fishText(summary)}'`),
    ...options.map((each) => option(`${at(path)} `, each)),
    ...(argument === 'file' ? [`complete -c weir ${at(path)} -F`] : []),
    ...(argument === '' || argument === 'file' ? [] : [`complete -c weir ${at(path)} -a '(__weir_names ${argument})'`]),
  ]);
  const names = Object.entries(sources).map(
    ([kind, command]) => `    case ${kind}\n      command weir -q --timeout 2s -o name ${command} 2>/dev/null`,
  );
  const paths = entries.map(({ path }) => `'${path}'`).join(' ');
  return `# Completion of weir for fish: weir completion fish >~/.config/fish/completions/weir.fish
set -g __weir_commands ${paths}
function __weir_path
  set -l words (commandline -opc)
  set -l at ''
  set -l previous ''
  for each in $words[2..-1]
    if contains -- "$previous" ${valued.join(' ')}
      set previous ''
      continue
    end
    set previous $each
    string match -q -- '-*' $each; and continue
    set -l next (string trim -- "$at $each")
    contains -- "$next" $__weir_commands; and set at $next
  end
  echo $at
end
function __weir_at
  test (__weir_path)"" = "$argv[1]"
end
function __weir_names
  switch $argv[1]
${names.join('\n')}
    case node
      set -l folder (string replace -r '[^/]*$' '' -- (commandline -ct))
      command weir -q --timeout 2s -o name node ls "$folder" 2>/dev/null
  end
end
complete -c weir -f
${[...globals.map((each) => option('', each)), ...lines].join('\n')}
`;
}

/** A text within single quotes of fish. */
function fishText(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
}
