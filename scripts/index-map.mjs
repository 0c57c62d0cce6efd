// Splits the source map of a bundle into sections, one for each module, as the specification of source maps has them: to find one place,
// only the section of its module is decoded. That of a whole bundle takes a busy server a fifth of a second.
import { decode, encode } from '@jridgewell/sourcemap-codec';

/**
 * @param {{ sources: string[], mappings: string }} map of a bundle
 * @returns an index map: `sections`, each with the place at which it begins and a map of one source, without names
 */
export function toIndexMap({ sources, mappings }) {
  const sections = [];
  for (const [line, segments] of decode(mappings).entries()) {
    for (const [column, source, sourceLine, sourceColumn] of segments) {
      // Code of the bundler itself has no source.
      if (source === undefined) continue;
      let section = sections.at(-1);
      if (section?.source !== source) {
        section = { source, offset: { line, column }, lines: [] };
        sections.push(section);
      }
      const { offset, lines } = section;
      while (lines.length <= line - offset.line) lines.push([]);
      // Only the first line of a section does not begin where the line of the bundle does.
      const columnOfSection = line === offset.line ? column - offset.column : column;
      lines.at(-1).push([columnOfSection, 0, sourceLine, sourceColumn]);
    }
  }
  return {
    version: 3,
    sections: sections.map(({ source, offset, lines }) => ({
      offset,
      map: { version: 3, sources: [sources[source]], names: [], mappings: encode(lines) },
    })),
  };
}
