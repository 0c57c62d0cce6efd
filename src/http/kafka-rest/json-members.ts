// Splits JSON objects into the texts of their members, so that numbers and the spelling of values stay as they were sent.
import { type JsonScanner, jsonProblem, noPosition, valueIn } from '../../core/json-scanner.ts';
import { skipValueInSteps } from '../../core/records/record-input.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { Steps } from '../../core/steps.ts';

const comma = 0x2c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;

/** Where a value stands in the text. */
export interface Span {
  start: number;
  end: number;
}

/**
 * Visits the members of the object that begins at `start`.
 * @param visit takes the name and the place of the value; it may throw to refuse the member
 * @returns the position after the object; undefined if there is no object
 * @throws ServiceError BAD_REQUEST if it is not JSON
 */
export function* eachMember(
  scanner: JsonScanner,
  start: number,
  visit: (name: string, at: Span) => Steps<void> | undefined,
): Steps<number | undefined> {
  const { text } = scanner;
  if (text.charCodeAt(start) !== openBrace) return undefined;
  let at = scanner.skipSpace(start + 1);
  if (text.charCodeAt(at) === closeBrace) return at + 1;
  for (;;) {
    const valueAt = scanner.skipName(at);
    if (valueAt === noPosition) throw notJson(scanner);
    const name = valueIn(text, at, scanner.skipString(at)) as string;
    const end = yield* valueEnd(scanner, valueAt);
    const steps = visit(name, { start: valueAt, end });
    if (steps) yield* steps;
    at = scanner.skipSpace(end);
    if (text.charCodeAt(at) === closeBrace) return at + 1;
    if (text.charCodeAt(at) !== comma) throw notJson(scanner, at);
    at = scanner.skipSpace(at + 1);
  }
}

/** The places of the items of the list at `start`, one after the other; none if there is no list. */
export function* eachItem(
  scanner: JsonScanner,
  start: number,
  visit: (at: number, index: number) => Steps<number>,
): Steps<boolean> {
  const { text } = scanner;
  if (text.charCodeAt(start) !== openBracket) return false;
  let at = scanner.skipSpace(start + 1);
  if (text.charCodeAt(at) === closeBracket) return true;
  for (let index = 0; ; index += 1) {
    at = scanner.skipSpace(yield* visit(at, index));
    if (text.charCodeAt(at) === closeBracket) return true;
    if (text.charCodeAt(at) !== comma) throw notJson(scanner, at);
    at = scanner.skipSpace(at + 1);
  }
}

function* valueEnd(scanner: JsonScanner, at: number): Steps<number> {
  const end = yield* skipValueInSteps(scanner, at);
  if (end === noPosition) throw notJson(scanner);
  return end;
}

/** @param at position of the error, if the scanner has not recorded it */
export function notJson(scanner: JsonScanner, at?: number): ServiceError {
  if (at !== undefined) scanner.fail(at);
  return new ServiceError('BAD_REQUEST', `The body ${jsonProblem(scanner)}.`);
}
