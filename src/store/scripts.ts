// Loads the Lua scripts, resolves their includes, and decodes their replies: the only place that knows the form of a reply.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, errorCatalogue } from '../../schemas/errors.ts';
import { ServiceError } from '../core/service-error.ts';

export interface Script {
  /** `nodes/write` for lua/nodes/write.lua. */
  readonly name: string;
  /** The source with all includes resolved, as it is sent to Redis. */
  readonly lua: string;
  /** The SHA-1 of the source in hexadecimal digits, by which Redis knows it. */
  readonly sha: string;
  /** Whether it can change anything. If its reply is lost, it is unknown whether it did. */
  readonly writes: boolean;
}

const luaFolder = fileURLToPath(new URL('./lua/', import.meta.url));
const includeLine = /^--- @include "([^"]+)"$/;

/** A script's arguments after its key (ARGV). */
export type ScriptArguments = (string | number | Buffer)[];

/**
 * The first statement of a script that writes, in a Redis Cluster: it reads a key of the slot that never exists. While the slot
 * migrates to another node, the source node replies to this with an error. So the script fails before its first write, and not
 * halfway, at the first key that has migrated.
 */
const slotProbe = "redis.call('EXISTS', KEYS[1] .. ':absent') ";

/** Finds a script by its name; undefined if there is none. */
export type ScriptFinder = (name: string) => Script | undefined;

/** The files of this program, read when the first store needs them: an upgrade may replace them while the program runs. */
let ownFiles: LuaFiles | undefined;
/** The scripts that were called, by whether they are for a Redis Cluster. */
const ownScripts = { cluster: new Map<string, Script>(), single: new Map<string, Script>() };

/**
 * The scripts of this program. Each is made when it is first called: that takes a millisecond, and a start calls few of them.
 * @param forCluster as for loadScripts
 */
export function scriptFinderFor(forCluster: boolean): ScriptFinder {
  ownFiles ??= readFiles(luaFolder);
  const files = ownFiles;
  const scripts = forCluster ? ownScripts.cluster : ownScripts.single;
  return (name) => {
    const known = scripts.get(name);
    const file = `${name}.lua`;
    if (known || !isScript(file) || !files.has(file)) return known;
    const script = makeScript(files, file, forCluster);
    scripts.set(name, script);
    return script;
  };
}

/**
 * Loads every script below `folder` except lib/, which holds what they include.
 * @param forCluster whether hash slots may migrate between nodes, so that scripts that write need the probe
 * @throws Error with file and line on a missing shebang, or a missing or circular include
 */
export function loadScripts(folder: string = luaFolder, forCluster = false): Map<string, Script> {
  const files = readFiles(folder);
  const scripts = [...files.keys()].filter(isScript).map((file) => makeScript(files, file, forCluster));
  return new Map(scripts.map((script) => [script.name, script]));
}

/** Texts by their paths below the folder, such as `nodes/write.lua`. */
type LuaFiles = ReadonlyMap<string, string>;

function readFiles(folder: string): LuaFiles {
  const files = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.lua')) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(relative(folder, path).split(sep).join('/'), readFileSync(path, 'utf8'));
  }
  return files;
}

function isScript(file: string): boolean {
  return !file.startsWith('lib/');
}

/** @throws as loadScripts */
function makeScript(files: LuaFiles, file: string, forCluster: boolean): Script {
  const text = files.get(file) ?? '';
  // The shebang makes Redis check the slot of every key, also on a single server, and carries the script's flags.
  const shebang = text.slice(0, text.indexOf('\n'));
  if (!shebang.startsWith('#!lua')) throw new Error(`${file}:1: the first line must be the shebang #!lua`);
  const writes = !shebang.includes('no-writes');
  // The probe is put on the line after the shebang, without a line break, so that line numbers in errors are those of the
  // file.
  const body = inlineConstants(resolveIncludes(files, file, text.slice(shebang.length), [file], new Set()));
  const lua = shebang + (forCluster && writes ? body.replace('\n', `\n${slotProbe}`) : body);
  const sha = createHash('sha1').update(lua).digest('hex');
  return { name: file.slice(0, -'.lua'.length), lua, sha, writes };
}

/** Replaces each include line by the file that it names; a file that was included before is left out. */
function resolveIncludes(files: LuaFiles, file: string, text: string, stack: string[], seen: Set<string>): string {
  const lines = text.split('\n').map((line, index) => {
    const included = includeLine.exec(line)?.[1];
    if (included === undefined) {
      if (line.includes('@include')) throw new Error(`${file}:${index + 1}: not an include line: ${line}`);
      return line;
    }
    const path = `${included}.lua`;
    if (stack.includes(path))
      throw new Error(`${file}:${index + 1}: circular include: ${[...stack, path].join(' -> ')}`);
    if (seen.has(path)) return '';
    seen.add(path);
    const body = files.get(path);
    if (body === undefined) throw new Error(`${file}:${index + 1}: the included file ${path} does not exist`);
    return resolveIncludes(files, path, body, [...stack, path], seen);
  });
  return lines.join('\n');
}

/** A statement that declares constants of a file or of a late part of it (lua/lib/late.lua), and its values: numbers and texts without escapes. */
const constantsLine =
  /^(?: {2})?local ([A-Z][A-Z0-9_]*(?:, [A-Z][A-Z0-9_]*)*) = ((?:\d+|'[^'\\]*')(?:, (?:\d+|'[^'\\]*'))*)$/gm;
/** What may contain the name of a constant and is none: texts, comments, and fields of tables (not what follows the operator `..`). */
const notConstant = /'(?:[^'\\\n]|\\.)*'|--\[\[[\s\S]*?\]\]|--.*|(?<![.:])[.:](?![.:]) *[A-Za-z_]\w*/;
const constant = new RegExp(`${notConstant.source}|\\b[A-Z][A-Z0-9_]*\\b(?! = )`, 'g');

/**
 * Puts the values of constants in their places. Each call of a script runs it from its first line, and each local variable that a
 * function uses costs an allocation then: without this, a call with one request took a tenth longer. Line numbers stay the same.
 */
function inlineConstants(lua: string): string {
  const values = new Map<string, string>();
  const rest = lua.replace(constantsLine, (line, names: string, texts: string) => {
    const declared = names.split(', ');
    const given = texts.match(/\d+|'[^']*'/g) ?? [];
    if (declared.length !== given.length || declared.some((name) => values.has(name))) return line;
    for (const [index, name] of declared.entries()) values.set(name, given[index] ?? name);
    return '';
  });
  return rest.replace(constant, (found) => values.get(found) ?? found);
}

/** A value in a reply: text as bytes, a whole number, or a list. */
export type ReplyValue = Buffer | number | null | ReplyValue[];

/**
 * Decodes the reply `{ tag, … }` of a script, or of one request in a call that carries several.
 * @returns the values after the tag OK
 * @throws ServiceError if the tag is a code of the catalogue; the detail and pairs of fields and values follow it
 */
export function decodeReply(script: string, reply: unknown): ReplyValue[] {
  if (!Array.isArray(reply)) throw new Error(`Script ${script} replied with no list: ${String(reply)}`);
  const [tag, ...rest] = reply as ReplyValue[];
  const code = text(tag);
  if (code === 'OK') return rest;
  if (!(code in errorCatalogue)) throw new Error(`Script ${script} replied with an unknown tag: ${code}`);
  const fields: Record<string, unknown> = {};
  for (let i = 1; i + 1 < rest.length; i += 2) {
    const value = rest[i + 1];
    // A number that must stay exact is sent as text in a list (lua/lib/text.lua), as the client's parser rounds large ones.
    fields[text(rest[i])] = Array.isArray(value)
      ? integer(value[0])
      : Buffer.isBuffer(value)
        ? value.toString()
        : value;
  }
  throw new ServiceError(code as ErrorCode, text(rest[0]), fields);
}

/** Decodes a value that must be text. */
export function text(value: ReplyValue | undefined): string {
  if (!Buffer.isBuffer(value)) throw new Error(`Expected text in a script's reply, got ${String(value)}`);
  return value.toString();
}

/** Decodes a value that must be bytes. */
export function bytes(value: ReplyValue | undefined): Buffer {
  if (!Buffer.isBuffer(value)) throw new Error(`Expected bytes in a script's reply, got ${String(value)}`);
  return value;
}

/** Decodes a value that must be a whole number, sent as a number or as text. */
export function integer(value: ReplyValue | undefined): number {
  const number = Buffer.isBuffer(value) ? Number(value.toString()) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number)) {
    throw new Error(`Expected a whole number in a script's reply, got ${String(value)}`);
  }
  return number;
}
