// Reads settings, version and loading progress of the private Redis, and changes settings, before a client of it exists.

import { type LoadingProgress, loadingOf, parseInfo } from '../store/redis/server-info.ts';
import { redisCommand } from './redis-command.ts';

/** Changes a setting of a running Redis unless it has the value already. @throws RedisReplyError if it cannot be changed at run time */
export async function ensureSetting(socketPath: string, name: string, value: string): Promise<void> {
  if ((await readSetting(socketPath, name)) !== value) await redisCommand(socketPath, ['CONFIG', 'SET', name, value]);
}

export async function readSetting(socketPath: string, name: string): Promise<string | undefined> {
  const reply = await redisCommand(socketPath, ['CONFIG', 'GET', name]);
  return Array.isArray(reply) && typeof reply[1] === 'string' ? reply[1] : undefined;
}

export async function readVersion(socketPath: string): Promise<string> {
  const info = await readServerInfo(socketPath);
  // Valkey also names the Redis version that it is compatible with, first.
  return (/^valkey_version:(\S+)/m.exec(info) ?? /^redis_version:(\S+)/m.exec(info))?.[1] ?? 'unknown';
}

export async function readLoading(socketPath: string): Promise<LoadingProgress | undefined> {
  const info = await redisCommand(socketPath, ['INFO', 'persistence']).catch(() => '');
  return loadingOf(parseInfo(String(info)));
}

export async function readServerInfo(socketPath: string): Promise<string> {
  return String(await redisCommand(socketPath, ['INFO', 'server']));
}
