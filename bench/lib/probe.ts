// Loaded into a measured process beside its program. On request of the parent process it reports what cannot be seen from outside,
// such as the heap after a garbage collection; otherwise it does nothing.
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';

export type ProbeQuestion = { kind: 'memory' } | { kind: 'start-profile' } | { kind: 'stop-profile'; file: string };
export type ProbeReply = { rss: number; heapUsed: number } | 'done';

const inspector = new Session();

async function response(question: ProbeQuestion): Promise<ProbeReply> {
  switch (question.kind) {
    case 'memory': {
      // The first collection runs finalizers, the second frees what they held.
      globalThis.gc!();
      await new Promise((resolve) => setTimeout(resolve, 20));
      globalThis.gc!();
      const { rss, heapUsed, external } = process.memoryUsage();
      return { rss, heapUsed: heapUsed + external };
    }
    case 'start-profile':
      inspector.connect();
      await inspector.post('Profiler.enable');
      await inspector.post('Profiler.start');
      return 'done';
    case 'stop-profile': {
      const { profile } = await inspector.post('Profiler.stop');
      inspector.disconnect();
      writeFileSync(question.file, JSON.stringify(profile));
      return 'done';
    }
  }
}

process.on('message', (question: ProbeQuestion) => {
  // A failure is not handled, so it ends the process, and the parent stops waiting.
  void response(question).then((reply) => process.send!(reply));
});
// The probe must not keep the process alive.
process.channel!.unref();
