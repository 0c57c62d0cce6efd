// Checkers of concurrent histories (guarantees N1, N2, N4). They share no code with the service. They take the requests and
// responses of clients with their times, and report contradictions.

/** A request for a register, which is a node with data and a version. */
export type Step =
  | { op: 'get'; path: string }
  | { op: 'put' | 'create'; path: string; data: string }
  | { op: 'set'; path: string; data: string; version: number }
  | { op: 'delete'; path: string; version: number }
  | { op: 'check'; path: string; version: number }
  | { op: 'multi'; steps: Exclude<Step, { op: 'multi' | 'get' | 'put' }>[] };

/** The response. `seen` has the version of each step, and the data of a read; nothing for a deletion or a check. */
export type Outcome = { code: 'OK'; seen: Seen[] } | { code: 'FAILED'; error: string; failed?: number } | 'unknown';

export interface Seen {
  version?: number;
  data?: string;
}

/** One operation of a history; `end` is the time of its response, or Infinity if its result is unknown. */
export interface Operation {
  client: number;
  start: number;
  end: number;
  step: Step;
  outcome: Outcome;
  /** The Weir-Zxid of the response. */
  zxid?: number | undefined;
  /** The mzxid that a read returned. */
  mzxid?: number | undefined;
}

interface Register {
  data: string;
  version: number;
}
type State = ReadonlyMap<string, Register>;

/** A search with more steps than this throws, so histories must be short enough. */
const searchStepsMax = 2_000_000;

/**
 * Whether one order of the operations explains all responses: each operation takes effect at one moment between its start
 * and its end, and its response shows the registers at that moment. An operation with an unknown result may take effect
 * at any moment after its start, or never. (The search of Wing and Gong, with Lowe's cache of tried configurations: the
 * operations done, and the state after them.)
 * @param history the operations on registers that multis connect. Other registers are checked separately, as
 *   linearizability is a local property
 * @returns undefined if so, else which operations could not be brought into any order
 */
export function linearizabilityProblem(history: readonly Operation[]): string | undefined {
  const operations = [...history].sort((a, b) => a.start - b.start);
  const done = new Uint8Array(operations.length);
  const tried = new Set<string>();
  const path: { index: number; state: State }[] = [];
  let knownLeft = operations.filter(({ outcome }) => outcome !== 'unknown').length;
  let state: State = new Map();
  let from = 0;
  let steps = 0;
  let furthest = { knownLeft: Number.POSITIVE_INFINITY, done, state };

  while (knownLeft > 0) {
    steps += 1;
    if (steps > searchStepsMax) throw new Error(`Undecided: ${operations.length} operations are too many`);
    const horizon = horizonOf(operations, done);
    if (knownLeft < furthest.knownLeft) furthest = { knownLeft, done: done.slice(), state };
    let next: State | undefined;
    let index = from;
    for (; index < operations.length && operations[index]!.start <= horizon; index += 1) {
      if (done[index]) continue;
      next = after(state, operations[index]!);
      if (!next) continue;
      done[index] = 1;
      const key = keyOf(operations, done, next);
      if (!tried.has(key)) {
        tried.add(key);
        break;
      }
      done[index] = 0;
      next = undefined;
    }
    if (next) {
      path.push({ index, state });
      if (operations[index]!.outcome !== 'unknown') knownLeft -= 1;
      state = next;
      from = 0;
      continue;
    }
    const back = path.pop();
    if (!back) return describeStuck(operations, furthest.done, furthest.state);
    done[back.index] = 0;
    if (operations[back.index]!.outcome !== 'unknown') knownLeft += 1;
    state = back.state;
    from = back.index + 1;
  }
  return undefined;
}

/** The earliest end of the open operations: an operation that starts later cannot come before it. */
function horizonOf(operations: readonly Operation[], done: Uint8Array): number {
  let horizon = Number.POSITIVE_INFINITY;
  for (let i = 0; i < operations.length && operations[i]!.start <= horizon; i += 1) {
    if (!done[i]) horizon = Math.min(horizon, operations[i]!.end);
  }
  return horizon;
}

/** The state after an operation, or undefined if its response does not fit this state. */
function after(state: State, { step, outcome }: Operation): State | undefined {
  const { next, expected } = apply(state, step);
  if (outcome === 'unknown') return expected.code === 'OK' && next !== state ? next : undefined;
  if (expected.code !== outcome.code) return undefined;
  if (expected.code === 'FAILED' && outcome.code === 'FAILED') {
    return expected.error === outcome.error && expected.failed === outcome.failed ? next : undefined;
  }
  if (expected.code === 'OK' && outcome.code === 'OK') {
    const fits = expected.seen.every((seen, i) => {
      const response = outcome.seen[i] ?? {};
      return seen.version === response.version && seen.data === response.data;
    });
    return fits ? next : undefined;
  }
  return undefined;
}

/** The result of an operation in a sequential register service. */
function apply(state: State, step: Step): { next: State; expected: Exclude<Outcome, 'unknown'> } {
  if (step.op === 'multi') {
    let next = state;
    const seen: Seen[] = [];
    for (const [failed, part] of step.steps.entries()) {
      const result = apply(next, part);
      if (result.expected.code === 'FAILED') return { next: state, expected: { ...result.expected, failed } };
      next = result.next;
      seen.push(...result.expected.seen);
    }
    return { next, expected: { code: 'OK', seen } };
  }
  const register = state.get(step.path);
  const failure = (error: string) => ({ next: state, expected: { code: 'FAILED' as const, error } });
  const success = (register: Register | undefined, seen: Seen) => {
    const next = new Map(state);
    if (register) next.set(step.path, register);
    else next.delete(step.path);
    return { next, expected: { code: 'OK' as const, seen: [seen] } };
  };
  switch (step.op) {
    case 'get':
      return register ? { next: state, expected: { code: 'OK', seen: [{ ...register }] } } : failure('NO_NODE');
    case 'put':
    case 'create': {
      if (register && step.op === 'create') return failure('NODE_EXISTS');
      const version = register ? register.version + 1 : 0;
      return success({ data: step.data, version }, { version });
    }
  }
  if (!register) return failure('NO_NODE');
  if (step.version !== -1 && step.version !== register.version) return failure('BAD_VERSION');
  if (step.op === 'delete') return success(undefined, {});
  if (step.op === 'check') return { next: state, expected: { code: 'OK', seen: [{}] } };
  const version = register.version + 1;
  return success({ data: step.data, version }, { version });
}

/** A short, exact key of the operations done: the length of the complete prefix, and a flag for each later one. */
function keyOf(operations: readonly Operation[], done: Uint8Array, state: State): string {
  let allKnownBefore = 0;
  while (allKnownBefore < done.length && (done[allKnownBefore] || operations[allKnownBefore]!.outcome === 'unknown')) {
    allKnownBefore += 1;
  }
  let key = `${allKnownBefore}`;
  for (let i = 0; i < done.length; i += 1) {
    if (done[i] && (i > allKnownBefore || operations[i]!.outcome === 'unknown')) key += ` ${i}`;
  }
  for (const [path, { data, version }] of [...state].sort()) key += `|${path} ${version} ${data}`;
  return key;
}

function describeStuck(operations: readonly Operation[], done: Uint8Array, state: State): string {
  const horizon = horizonOf(operations, done);
  const stuck = operations.filter((operation, i) => !done[i] && operation.start <= horizon);
  return [
    `After ${done.reduce((sum, one) => sum + one, 0)} operations, with ${JSON.stringify([...state])}, none of these can be next:`,
    ...stuck.map((operation) => JSON.stringify(operation)),
  ].join('\n');
}

/** Whether the operation changed something, according to its response. */
function isWrite({ step, outcome }: Operation): boolean {
  return outcome !== 'unknown' && outcome.code === 'OK' && step.op !== 'get' && step.op !== 'check';
}

/**
 * The faults in the zxids of a history, one line each. An operation that begins after another has ended must not reflect an
 * older state, and a change must be newer than all that was seen before it. Each change has a zxid of its own. A value
 * that is read has the mzxid of the change that wrote it.
 */
export function zxidProblems(history: readonly Operation[]): string[] {
  const problems: string[] = [];
  const writers = new Map<number, Operation>();
  const zxidOfData = new Map<string, number>();
  for (const operation of history) {
    if (!isWrite(operation)) continue;
    const zxid = operation.zxid!;
    if (writers.has(zxid)) problems.push(`Zxid ${zxid} was given twice: ${pair(writers.get(zxid)!, operation)}`);
    writers.set(zxid, operation);
    for (const step of operation.step.op === 'multi' ? operation.step.steps : [operation.step]) {
      if ('data' in step) zxidOfData.set(step.data, zxid);
    }
  }
  for (const operation of history) {
    if (operation.step.op !== 'get' || operation.outcome === 'unknown' || operation.outcome.code !== 'OK') continue;
    const written = zxidOfData.get(operation.outcome.seen[0]!.data!);
    if (written !== undefined && written !== operation.mzxid) {
      problems.push(`Written by ${written}, but read with another mzxid: ${JSON.stringify(operation)}`);
    }
    if (operation.mzxid! > operation.zxid!) problems.push(`Newer than its own zxid: ${JSON.stringify(operation)}`);
  }
  return [...problems, ...orderProblems(history.filter(({ zxid }) => zxid !== undefined))];
}

function orderProblems(history: readonly Operation[]): string[] {
  const problems: string[] = [];
  const ended = [...history].sort((a, b) => a.end - b.end);
  let newest: Operation | undefined;
  let next = 0;
  for (const operation of [...history].sort((a, b) => a.start - b.start)) {
    for (; next < ended.length && ended[next]!.end < operation.start; next += 1) {
      if (!newest || ended[next]!.zxid! > newest.zxid!) newest = ended[next];
    }
    if (!newest) continue;
    const isOlder = isWrite(operation) ? operation.zxid! <= newest.zxid! : operation.zxid! < newest.zxid!;
    if (isOlder) problems.push(`The later one is not newer: ${pair(newest, operation)}`);
  }
  return problems;
}

/** One sequential create that got a response. */
export interface SequentialCreate {
  start: number;
  end: number;
  parent: string;
  number: number;
  zxid: number;
}

/**
 * The faults in sequence numbers, one line each: a number used twice under a parent, a smaller one for a request
 * that began after another had ended, or another order than that of the zxids.
 */
export function sequenceProblems(creates: readonly SequentialCreate[]): string[] {
  const problems: string[] = [];
  const parents = new Map<string, SequentialCreate[]>();
  for (const create of creates) parents.set(create.parent, [...(parents.get(create.parent) ?? []), create]);
  for (const siblings of parents.values()) {
    siblings.sort((a, b) => a.number - b.number);
    let latestStart: SequentialCreate | undefined;
    for (const [i, create] of siblings.entries()) {
      const before = siblings[i - 1];
      if (before && before.number === create.number) problems.push(`Given twice: ${pair(before, create)}`);
      if (before && before.zxid > create.zxid) problems.push(`Not in the order of zxids: ${pair(before, create)}`);
      if (latestStart && latestStart.start > create.end)
        problems.push(`Not in time's order: ${pair(latestStart, create)}`);
      if (!latestStart || create.start > latestStart.start) latestStart = create;
    }
  }
  return problems;
}

function pair(a: unknown, b: unknown): string {
  return `${JSON.stringify(a)} and ${JSON.stringify(b)}`;
}
