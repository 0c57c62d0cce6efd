/** The JSON of a value as a line of text, with its line feed. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}
