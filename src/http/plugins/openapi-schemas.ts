// Adapts generated schemas to the tools that make clients of them, which know less of JSON Schema than zod does.

/** A schema and all its parts, as tools take them: a tuple is a list, and a large integer has a format. */
export function forTools(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(forTools);
  if (typeof value !== 'object' || value === null) return value;
  const copy = Object.fromEntries(Object.entries(value).map(([key, part]) => [key, forTools(part)]));
  // zod gives every integer the bound 2^53.
  if (typeof copy.maximum === 'number' && copy.maximum >= 2 ** 31) copy.format = 'int64';
  return Array.isArray(copy.prefixItems) ? asList(copy, copy.prefixItems) : copy;
}

/**
 * `items: false` and schemas by position are read by few tools; what is lost is which kind of item is where. Schemathesis makes a list of
 * schemas of a list whose length is fixed, and then refuses that: so only the shortest length is told.
 */
function asList(
  { prefixItems: _, maxItems: __, ...rest }: Record<string, unknown>,
  items: unknown[],
): Record<string, unknown> {
  const kinds = new Map(items.flatMap(alternatives).map((schema) => [JSON.stringify(schema), schema]));
  const [only, ...others] = kinds.values();
  const each = others.length === 0 ? only : { anyOf: [...kinds.values()] };
  return { ...rest, items: each, minItems: items.length };
}

function alternatives(schema: unknown): unknown[] {
  const { anyOf, ...rest } = schema as { anyOf?: unknown[] };
  return anyOf !== undefined && Object.keys(rest).length === 0 ? anyOf : [schema];
}
