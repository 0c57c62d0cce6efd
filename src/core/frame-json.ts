// The JSON of frames and messages that hold a large part which is JSON text already, such as the records of a topic or the events of a
// transaction: that part goes in as it is, without being parsed and written again for each reader.

/**
 * The JSON text of a frame.
 * @param members all of its members but those that are text already
 * @param parts the remaining members, each as JSON text; it is not checked
 */
export function frameJson<Frame extends object, Part extends keyof Frame & string>(
  members: Omit<Frame, Part>,
  parts: Record<Part, string>,
): string {
  let json = JSON.stringify(members).slice(0, -1);
  for (const name in parts) json += `${json === '{' ? '' : ','}${JSON.stringify(name)}:${parts[name]}`;
  return `${json}}`;
}
