// Reads the body of POST …/records:batch, `{"entries":[{"id":"1",…}]}`: each entry is a record with an id of its own.
import { type JsonScanner, scannerOf, valueIn } from '../../../core/json-scanner.ts';
import type { Steps } from '../../../core/steps.ts';
import { KafkaRestError } from '../errors.ts';
import { eachItem, eachMember, notJson, type Span } from '../json-members.ts';
import { type Read, readOrFailure } from './record.ts';

interface Entry {
  id: string;
  read: Read;
}

const entriesMax = 1000;
const idCharactersMax = 80;

/**
 * The entries of a batch, each as it was read or with what is wrong with it.
 * @throws ServiceError BAD_REQUEST for a body that is not JSON; KafkaRestError 42208 for one that is no batch
 */
export function* batchEntries(body: Buffer): Steps<Entry[]> {
  if (body.length === 0)
    throw noBatch('The body is empty; send {"entries":[{"id":"1","value":{"type":"JSON","data":1}}]}.');
  const scanner = scannerOf(body);
  let list: Span | undefined;
  const end = yield* eachMember(scanner, scanner.skipSpace(0), (name, at) => {
    if (name !== 'entries' || list)
      throw noBatch(`The body has entries, once, and no field '${name.slice(0, 60)}' besides.`);
    list = at;
    return undefined;
  });
  if (end === undefined) {
    const problem = scanner.skipValue(scanner.skipSpace(0));
    if (problem < 0 && !scanner.isInterrupted) throw notJson(scanner);
    throw noBatch('The body must be an object: {"entries":[…]}.');
  }
  const rest = scanner.skipSpace(end);
  if (rest < scanner.text.length) throw notJson(scanner, rest);
  const entries: Entry[] = [];
  const ids = new Set<string>();
  const isList =
    list &&
    (yield* eachItem(scanner, list.start, function* visit(at, index) {
      if (index === entriesMax) throw noBatch(`The batch has more than ${entriesMax} entries; send fewer at once.`);
      let idAt: Span | undefined;
      const entryEnd = yield* eachMember(scanner, at, (name, span) => {
        if (name === 'id') idAt ??= span;
        return undefined;
      });
      const id = idOf(scanner, entryEnd === undefined ? undefined : idAt, index);
      if (ids.has(id)) throw noBatch(`Two entries have the id '${id}'; the ids of a batch must be distinct.`);
      ids.add(id);
      const bytes = body.subarray(at, entryEnd);
      entries.push({ id, read: yield* readOrFailure(bytes, ['id']) });
      return entryEnd ?? at;
    }));
  if (!isList || entries.length === 0)
    throw noBatch('The batch has no entries; entries must be a list of at least one.');
  return entries;
}

/** @throws KafkaRestError 42208 */
function idOf({ text }: JsonScanner, at: Span | undefined, index: number): string {
  const isText = at && text[at.start] === '"' && at.end - at.start <= 6 * idCharactersMax + 2;
  const id = isText ? (valueIn(text, at.start, at.end) as string) : '';
  if (id.length >= 1 && id.length <= idCharactersMax) return id;
  throw noBatch(`entries.${index} must be an object with an id, a text of 1 to ${idCharactersMax} characters.`);
}

function noBatch(message: string): KafkaRestError {
  return new KafkaRestError(42208, message);
}
