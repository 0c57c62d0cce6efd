// Says what is wrong with inputs of which exactly one must be given.

/**
 * @param alternatives the inputs by their names, at least two; one that is undefined was not given
 * @returns undefined if exactly one was given; else a sentence that says whether none or several were, and the remedy
 */
export function alternativesProblem(alternatives: Readonly<Record<string, unknown>>): string | undefined {
  const names = Object.keys(alternatives);
  const given = names.filter((name) => alternatives[name] !== undefined);
  if (given.length === 1) return undefined;
  if (given.length > 1) return `${listed(given, 'and')} were sent. Send only one of them.`;
  const remedy = `Send ${names.length > 2 ? 'one of ' : ''}${listed(names, names.length > 2 ? 'and' : 'or')}.`;
  return names.length > 2 ? `None was sent. ${remedy}` : `Neither ${listed(names, 'nor')} was sent. ${remedy}`;
}

/** `a, b and c` */
function listed(names: readonly string[], conjunction: string): string {
  return `${names.slice(0, -1).join(', ')} ${conjunction} ${names.at(-1)}`;
}
