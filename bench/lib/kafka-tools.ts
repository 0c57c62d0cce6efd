// Kafka's own load programs, run as child processes: `WEIR_BENCH_KAFKA_HOME` is a folder whose lib/ has Kafka's jars.
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export class KafkaTools {
  readonly #lib: string;
  readonly #address: string;

  /** @returns undefined, after saying so, if the environment does not say where Kafka's jars are */
  static find(address: string): KafkaTools | undefined {
    const home = process.env.WEIR_BENCH_KAFKA_HOME;
    if (home !== undefined) return new KafkaTools(join(home, 'lib'), address);
    console.log('Kafka is skipped: WEIR_BENCH_KAFKA_HOME names no folder with its jars in lib/.\n');
    return undefined;
  }

  private constructor(lib: string, address: string) {
    this.#lib = lib;
    this.#address = address;
  }

  get version(): string {
    const jar = readdirSync(this.#lib).find((name) => /^kafka-clients-[\d.]+\.jar$/.test(name));
    return jar?.replace(/^kafka-clients-|\.jar$/g, '') ?? '';
  }

  async createTopic(topic: string, partitions: number): Promise<void> {
    const named = ['--create', '--if-not-exists', '--topic', topic, '--partitions', String(partitions)];
    await this.#java('org.apache.kafka.tools.TopicCommand', ['--bootstrap-server', this.#address, ...named]);
  }

  /**
   * Produces records as fast as it can, `acks=1`, otherwise with the producer's defaults.
   * @param keys how many different keys the records have; 0: they have none
   * @returns records per second
   */
  async produce(topic: string, records: number, recordBytes: number, keys = 0): Promise<number> {
    const properties = [`bootstrap.servers=${this.#address}`, 'acks=1'];
    const load = ['--num-records', String(records), '--record-size', String(recordBytes), '--throughput', '-1'];
    const keyed = keys > 0 ? ['--record-key-range', String(keys), '--key-distribution', 'random'] : [];
    const output = await this.#java('org.apache.kafka.tools.ProducerPerformance', [
      ...['--topic', topic, ...load, ...keyed, '--producer-props', ...properties],
    ]);
    const last = output.trim().split('\n').at(-1)!;
    return Number(/([\d.]+) records\/sec/.exec(last)?.[1]);
  }

  /** Reads records from the beginning of a topic. @returns records per second, without the time to join the group */
  async consume(topic: string, records: number): Promise<number> {
    const output = await this.#java('org.apache.kafka.tools.ConsumerPerformance', [
      ...['--bootstrap-server', this.#address, '--topic', topic, '--messages', String(records), '--timeout', '60000'],
    ]);
    const [head, values] = output.trim().split('\n').slice(-2) as [string, string];
    const column = head.split(', ').indexOf('fetch.nMsg.sec');
    return Number(values.split(', ')[column]);
  }

  async #java(program: string, options: string[]): Promise<string> {
    const { stdout } = await run('java', ['-Xmx512m', '-cp', `${this.#lib}/*`, program, ...options]);
    return stdout;
  }
}
