// The recipes: what programs build on the tree. Each takes a client, whose own session it uses, or a session.
export { type Barrier, barrier, type DoubleBarrier, doubleBarrier } from './barrier.ts';
export { type Config, type ConfigOptions, config } from './config.ts';
export { type Counter, counter } from './counter.ts';
export { type Election, election, type Leader, type Leadership } from './election.ts';
export { type Acquirable, lock, rwLock, semaphore } from './lock.ts';
export type { Hold, On } from './place.ts';
export { type Queue, type QueueItem, queue } from './queue.ts';
export {
  type Following,
  type Members,
  type Membership,
  membership,
  type Registration,
  type Service,
  service,
} from './service.ts';
