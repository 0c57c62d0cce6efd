// Indents JSON for people. The text is not parsed into values, so that every number and string stays as it was written.

const indent = '  ';
/** Deeper levels stay on one line: otherwise spaces could be most of the result. */
const levelsMax = 12;

/**
 * Returns the same JSON with line feeds, and two spaces for each level; an empty list or object stays `[]` or `{}`.
 * @param json valid JSON
 */
export function indentedJson(json: string): string {
  const parts: string[] = [];
  let level = 0;
  const breakLine = () => {
    if (level <= levelsMax) parts.push('\n', indent.repeat(level));
  };
  for (let at = 0; at < json.length; ) {
    const end = tokenEnd(json, at);
    const token = json.slice(at, end);
    at = end;
    if (isSpace(token)) continue;
    if (token === '{' || token === '[') {
      parts.push(token);
      level += 1;
      const closing = afterSpaces(json, at);
      if (json[closing] === (token === '{' ? '}' : ']')) {
        parts.push(json.charAt(closing));
        level -= 1;
        at = closing + 1;
      } else breakLine();
    } else if (token === '}' || token === ']') {
      // What was too deep for lines of its own is closed on its line.
      const hasLines = level <= levelsMax;
      level -= 1;
      if (hasLines) breakLine();
      parts.push(token);
    } else {
      parts.push(token === ':' ? ': ' : token);
      if (token === ',') breakLine();
    }
  }
  return parts.join('');
}

/** The end of the token at a position: of a string, a structural character, a space, or a run of other characters. */
function tokenEnd(json: string, start: number): number {
  if (json[start] === '"') return stringEnd(json, start);
  if (isStructure(json.charAt(start)) || isSpace(json.charAt(start))) return start + 1;
  let end = start + 1;
  while (end < json.length && !isStructure(json.charAt(end)) && !isSpace(json.charAt(end)) && json[end] !== '"') end++;
  return end;
}

function stringEnd(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); end >= 0; end = json.indexOf('"', end + 1)) {
    let slashes = 0;
    while (json[end - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return end + 1;
  }
  return json.length;
}

function afterSpaces(json: string, start: number): number {
  let at = start;
  while (isSpace(json.charAt(at))) at++;
  return at;
}

function isSpace(text: string): boolean {
  return text === ' ' || text === '\n' || text === '\r' || text === '\t';
}

function isStructure(text: string): boolean {
  return text === '{' || text === '}' || text === '[' || text === ']' || text === ',' || text === ':';
}
