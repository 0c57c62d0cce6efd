// Splits the source map of a bundle into sections, one for each module, as the specification of source maps has them: to find one place,
// only the section of its module is decoded. That of a whole bundle takes a busy server a fifth of a second.
const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const values = new Map([...digits].map((digit, value) => [digit, value]));

/**
 * @param {{ sources: string[], mappings: string }} map of a bundle
 * @returns an index map: `sections`, each with the place at which it begins and a map of one source, without names
 */
export function toIndexMap({ sources, mappings }) {
  const sections = [];
  let section;
  // Columns of the bundle count from the begin of a line, all else goes on over the lines.
  let [source, sourceLine, sourceColumn] = [0, 0, 0];
  for (const [line, text] of mappings.split(';').entries()) {
    let column = 0;
    for (const segment of text === '' ? [] : text.split(',')) {
      const [columns, sourcesOn, lines = 0, sourceColumns = 0] = decode(segment);
      column += columns;
      // Code of the bundler itself has no source.
      if (sourcesOn === undefined) continue;
      source += sourcesOn;
      sourceLine += lines;
      sourceColumn += sourceColumns;
      if (section?.source !== source) {
        section = { source, offset: { line, column }, line, column, sourceLine: 0, sourceColumn: 0, mappings: '' };
        sections.push(section);
      }
      append(section, line, column, sourceLine, sourceColumn);
    }
  }
  return {
    version: 3,
    sections: sections.map(({ source, offset, mappings }) => ({
      offset,
      map: { version: 3, sources: [sources[source]], names: [], mappings },
    })),
  };
}

/** Adds a segment to a section, which has the place of the segment before. */
function append(section, line, column, sourceLine, sourceColumn) {
  const isFirst = section.mappings === '';
  const isSameLine = line === section.line;
  section.mappings += isSameLine ? (isFirst ? '' : ',') : ';'.repeat(line - section.line);
  section.mappings += encode(isSameLine ? column - section.column : column);
  section.mappings += encode(0) + encode(sourceLine - section.sourceLine) + encode(sourceColumn - section.sourceColumn);
  Object.assign(section, { line, column, sourceLine, sourceColumn });
}

/** The numbers of a segment: five bits to a digit, the lowest first; the lowest bit of a number is its sign. */
function decode(segment) {
  const numbers = [];
  let [value, shift] = [0, 0];
  for (const digit of segment) {
    const bits = values.get(digit);
    value |= (bits & 31) << shift;
    shift += 5;
    if (bits & 32) continue;
    numbers.push(value & 1 ? -(value >> 1) : value >> 1);
    [value, shift] = [0, 0];
  }
  return numbers;
}

function encode(number) {
  let text = '';
  let value = number < 0 ? (-number << 1) | 1 : number << 1;
  do {
    const bits = value & 31;
    value >>>= 5;
    text += digits[value > 0 ? bits | 32 : bits];
  } while (value > 0);
  return text;
}
