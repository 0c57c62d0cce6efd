import fc from 'fast-check';
import t from 'tap';
import {
  type PlacementBroker,
  placeReplicas,
  startForAddedPartitions,
} from '../../../src/core/cluster/replica-placement.ts';
import { hasCode } from '../../../src/core/service-error.ts';

const brokers = (...ids: number[]): PlacementBroker[] => ids.map((id) => ({ id }));
const onRacks = (racks: Record<number, string>): PlacementBroker[] =>
  Object.entries(racks).map(([id, rack]) => ({ id: Number(id), rack }));
const compact = (lists: number[][]): string[] => lists.map((list) => list.join(''));

t.test('placement without racks is the same as in Kafka', async (t) => {
  const place = (ids: number[], partitions: number, replicationFactor: number, start: number) =>
    compact(
      placeReplicas({ brokers: brokers(...ids), partitions, replicationFactor, startIndex: start, shift: start }),
    );
  t.same(place([0, 1, 2, 3, 4], 10, 3, 0), ['012', '123', '234', '340', '401', '023', '134', '240', '301', '412']);
  t.same(place([0, 1, 2], 6, 2, 0), ['01', '12', '20', '02', '10', '21']);
  t.same(place([0, 1, 2], 6, 2, 1), ['10', '21', '02', '12', '20', '01']);
  t.same(place([7], 3, 1, 0), ['7', '7', '7'], 'a single broker holds everything');
  t.same(place([2, 0, 1], 3, 2, 0), ['01', '12', '20'], 'the order of the brokers in the request does not matter');
});

t.test('placement with racks is the same as in Kafka', async (t) => {
  const sixOnThree = { 0: 'rack1', 1: 'rack3', 2: 'rack3', 3: 'rack2', 4: 'rack2', 5: 'rack1' };
  t.same(
    compact(
      placeReplicas({ brokers: onRacks(sixOnThree), partitions: 7, replicationFactor: 3, startIndex: 0, shift: 0 }),
    ),
    ['031', '315', '154', '542', '420', '203', '042'],
  );
  const { 5: _, ...fiveOnThree } = sixOnThree;
  t.same(
    compact(
      placeReplicas({ brokers: onRacks(fiveOnThree), partitions: 5, replicationFactor: 1, startIndex: 0, shift: 0 }),
    ),
    ['0', '3', '1', '4', '2'],
    'the list goes from rack to rack as long as each has brokers left',
  );
});

t.test('if only some brokers have a rack, racks are ignored', async (t) => {
  const mixed: PlacementBroker[] = [{ id: 0, rack: 'a' }, { id: 1, rack: 'a' }, { id: 2 }];
  const request = { partitions: 6, replicationFactor: 2, startIndex: 0, shift: 0 };
  t.same(placeReplicas({ ...request, brokers: mixed }), placeReplicas({ ...request, brokers: brokers(0, 1, 2) }));
});

t.test('added partitions continue the placement of the existing ones', async (t) => {
  const all = brokers(0, 1, 2, 3, 4);
  const start = startForAddedPartitions(all, 2);
  t.equal(start, 2);
  const whole = placeReplicas({ brokers: all, partitions: 12, replicationFactor: 3, startIndex: start, shift: start });
  const added = placeReplicas({
    brokers: all,
    partitions: 2,
    replicationFactor: 3,
    startIndex: start,
    shift: start,
    firstPartition: 4,
  });
  t.same(added, whole.slice(4, 6));
  t.equal(startForAddedPartitions(brokers(1, 3, 5), 2), 1, 'the next broker by id, if the first one is gone');
  t.equal(startForAddedPartitions(brokers(5, 1, 3), 3), 1, 'positions are by id');
  t.equal(startForAddedPartitions(brokers(1, 3), 9), 0, 'and the first if there is none after it');
});

t.test('impossible numbers of partitions or replicas are refused, and the error contains the numbers', async (t) => {
  const attempt = (partitions: number, replicationFactor: number) => () =>
    placeReplicas({ brokers: brokers(0, 1, 2), partitions, replicationFactor, startIndex: 0, shift: 0 });
  const fails = (partitions: number, replicationFactor: number, code: string, message: RegExp) =>
    t.throws(attempt(partitions, replicationFactor), { code, message });
  fails(0, 1, 'INVALID_PARTITIONS', /number of partitions is 0/);
  fails(-3, 1, 'INVALID_PARTITIONS', /is -3/);
  fails(1.5, 1, 'INVALID_PARTITIONS', /is 1.5/);
  fails(1, 0, 'INVALID_REPLICATION_FACTOR', /replication factor is 0/);
  fails(1, -1, 'INVALID_REPLICATION_FACTOR', /is -1/);
  fails(1, 4, 'INVALID_REPLICATION_FACTOR', /is 4, but the number of live brokers is 3/);
  fails(0, 0, 'INVALID_PARTITIONS', /./);
  try {
    placeReplicas({ brokers: [], partitions: 1, replicationFactor: 1, startIndex: 0, shift: 0 });
    t.ok(false, 'there is no broker to place on');
  } catch (error) {
    t.ok(hasCode(error, 'INVALID_REPLICATION_FACTOR'));
  }
});

const placement = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 0, max: 99 }), fc.integer({ min: 0, max: 3 })), {
    minLength: 1,
    maxLength: 9,
    selector: ([id]) => id,
  })
  .chain((pairs) =>
    fc.record({
      brokers: fc
        .boolean()
        .map((racks) => pairs.map(([id, rack]): PlacementBroker => (racks ? { id, rack: `r${rack}` } : { id }))),
      partitions: fc.integer({ min: 1, max: 60 }),
      replicationFactor: fc.integer({ min: 1, max: pairs.length }),
      startIndex: fc.nat({ max: pairs.length - 1 }),
      shift: fc.nat({ max: pairs.length - 1 }),
      firstPartition: fc.nat({ max: 20 }),
    }),
  );

t.test('any placement spreads leaders evenly, lists no broker twice, and uses as many racks as possible', async (t) => {
  fc.assert(
    fc.property(placement, (request) => {
      const lists = placeReplicas(request);
      const ids = new Set(request.brokers.map((broker) => broker.id));
      const rackOf = new Map(request.brokers.map((broker) => [broker.id, broker.rack]));
      const racks = new Set(rackOf.values());
      const leaders = new Map([...ids].map((id) => [id, 0]));
      for (const list of lists) {
        if (list.length !== request.replicationFactor || new Set(list).size !== list.length) return false;
        if (!list.every((id) => ids.has(id))) return false;
        if (!racks.has(undefined)) {
          const used = new Set(list.map((id) => rackOf.get(id))).size;
          if (used !== Math.min(racks.size, list.length)) return false;
        }
        leaders.set(list[0]!, leaders.get(list[0]!)! + 1);
      }
      const counts = [...leaders.values()];
      return lists.length === request.partitions && Math.max(...counts) - Math.min(...counts) <= 1;
    }),
    { numRuns: 500 },
  );
  t.ok(true);
});

t.test('equal racks share replicas evenly, and the load of each broker is the same', async (t) => {
  const racks = Object.fromEntries([0, 1, 2, 3, 4, 5].map((id) => [id, `rack${id % 3}`]));
  const lists = placeReplicas({
    brokers: onRacks(racks),
    partitions: 12,
    replicationFactor: 3,
    startIndex: 2,
    shift: 2,
  });
  for (const id of [0, 1, 2, 3, 4, 5]) {
    t.equal(lists.filter((list) => list.includes(id)).length, 6, `broker ${id}`);
    t.equal(lists.filter((list) => list[0] === id).length, 2, `broker ${id} as leader`);
  }
});
