// Responses in NDJSON, such as those of a search, line by line as they come.
import { api } from './session.ts';

/**
 * The lines of a response. It is tried once.
 * @throws WeirError; TypeError and the like if there is no response, or the connection breaks
 */
export async function* jsonLines<T>(path: string, signal: AbortSignal): AsyncGenerator<T, void, undefined> {
  const response = await api().http.stream(path, { accept: 'application/x-ndjson' }, signal);
  const reader = response.body?.getReader();
  if (!reader) return;
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      const lines = (rest + decoder.decode(value, { stream: !done })).split('\n');
      rest = done ? '' : (lines.pop() ?? '');
      for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as T;
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
