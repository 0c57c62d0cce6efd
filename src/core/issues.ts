/** What is wrong with an input that its schema refuses, in words for whoever sent it: in bodies and in frames alike. */
import type { z } from 'zod';

/** Says for each issue where it is and what is wrong, the unknown fields by name. */
export function describeIssues(error: z.ZodError, where = ''): string {
  const texts = error.issues.slice(0, 5).map((issue) => {
    const at = [where, ...issue.path.map(String)].filter((part) => part !== '').join('.');
    if (issue.code === 'unrecognized_keys') {
      return `unknown ${issue.keys.length > 1 ? 'fields' : 'field'} ${issue.keys.map((key) => `'${key}'`).join(', ')}${at ? ` in ${at}` : ''}`;
    }
    return `${at || 'value'}: ${issue.message}`;
  });
  return `${texts.join('; ')}.`;
}
