// Loads the Lua scripts, resolves their includes, and gives one typed call and one reply decoder for all of them.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, errorCatalogue } from '../../schemas/errors.ts';
import { ServiceError } from '../core/service-error.ts';

export interface Script {
  /** `nodes/write` for lua/nodes/write.lua. */
  readonly name: string;
  /** The text with all includes resolved, as it is sent. */
  readonly lua: string;
  /** Whether it can change anything: a lost reply then leaves its fate unknown. */
  readonly writes: boolean;
}

const luaFolder = fileURLToPath(new URL('./lua/', import.meta.url));
const includeLine = /^--- @include "([^"]+)"$/;

/**
 * What a script that writes begins with in a Redis Cluster: it asks for a key of its slot that never is there. While the slot
 * is moved to another node, the node that it leaves answers such a question with an error; so the script fails before it
 * has done anything, and not halfway, at the first key that has left already.
 */
const slotProbe = "redis.call('EXISTS', KEYS[1] .. ':absent') ";

/**
 * Reads every entry script below `folder`, all but lib/. Throws on a missing or circular include, with file and line.
 * @param forCluster whether their slots may be moved between nodes
 */
export function loadScripts(folder: string = luaFolder, forCluster = false): Map<string, Script> {
  const scripts = new Map<string, Script>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.lua')) continue;
    const file = relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/');
    if (file.startsWith('lib/')) continue;
    const name = file.slice(0, -'.lua'.length);
    const text = readFileSync(join(folder, file), 'utf8');
    // With the shebang the store checks every key's slot, also on a single machine, and knows the script's flags.
    const shebang = text.slice(0, text.indexOf('\n'));
    if (!shebang.startsWith('#!lua')) throw new Error(`${file}:1: the first line must be the shebang #!lua`);
    const writes = !shebang.includes('no-writes');
    // The shebang's line stays as an empty one, and the probe goes on the line after it, so that lines are counted as in the
    // file.
    const body = resolveIncludes(folder, file, text.slice(shebang.length), [file], new Set());
    scripts.set(name, {
      name,
      lua: shebang + (forCluster && writes ? body.replace('\n', `\n${slotProbe}`) : body),
      writes,
    });
  }
  return scripts;
}

/** Replaces each include line by the file it names, once per script: what was included before is left out. */
function resolveIncludes(folder: string, file: string, text: string, stack: string[], seen: Set<string>): string {
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
    let body: string;
    try {
      body = readFileSync(join(folder, path), 'utf8');
    } catch {
      throw new Error(`${file}:${index + 1}: there is no script ${path} to include`);
    }
    return resolveIncludes(folder, path, body, [...stack, path], seen);
  });
  return lines.join('\n');
}

/** What a script answers with after its `OK`: texts as bytes, whole numbers, lists. */
export type ReplyValue = Buffer | number | null | ReplyValue[];

/**
 * Decodes a script's reply `{ tag, … }`, wherever it comes from, a single call or a pipeline.
 * Returns what follows `OK`; any other tag must be a code of the catalogue, followed by the detail and field pairs,
 * and is thrown as a ServiceError.
 */
export function decodeReply(script: string, reply: unknown): ReplyValue[] {
  if (!Array.isArray(reply)) throw new Error(`Script ${script} answered with no list: ${String(reply)}`);
  const [tag, ...rest] = reply as ReplyValue[];
  const code = text(tag);
  if (code === 'OK') return rest;
  if (!(code in errorCatalogue)) throw new Error(`Script ${script} answered with an unknown tag: ${code}`);
  const fields: Record<string, unknown> = {};
  for (let i = 1; i + 1 < rest.length; i += 2) {
    const value = rest[i + 1];
    // A number that must stay exact comes as a text in a list (lua/lib/text.lua).
    fields[text(rest[i])] = Array.isArray(value)
      ? integer(value[0])
      : Buffer.isBuffer(value)
        ? value.toString()
        : value;
  }
  throw new ServiceError(code as ErrorCode, text(rest[0]), fields);
}

/** A reply value that must be text. */
export function text(value: ReplyValue | undefined): string {
  if (!Buffer.isBuffer(value)) throw new Error(`Expected text in a script's reply, got ${String(value)}`);
  return value.toString();
}

/** A reply value that must be bytes. */
export function bytes(value: ReplyValue | undefined): Buffer {
  if (!Buffer.isBuffer(value)) throw new Error(`Expected bytes in a script's reply, got ${String(value)}`);
  return value;
}

/** A reply value that must be a whole number; scripts may send one as text to keep it exact. */
export function integer(value: ReplyValue | undefined): number {
  const number = Buffer.isBuffer(value) ? Number(value.toString()) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number)) {
    throw new Error(`Expected a whole number in a script's reply, got ${String(value)}`);
  }
  return number;
}
