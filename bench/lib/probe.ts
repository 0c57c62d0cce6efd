// Loaded into a measured process beside its own program: answers what cannot be seen from outside. It does nothing until
// it is asked.
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';

export type ProbeQuestion = { kind: 'memory' } | { kind: 'start-profile' } | { kind: 'stop-profile'; file: string };
export type ProbeAnswer = { rss: number; heapUsed: number } | 'done';

const inspector = new Session();

async function answer(question: ProbeQuestion): Promise<ProbeAnswer> {
  switch (question.kind) {
    case 'memory': {
      // The first collection lets finalizers go, the second takes what they held.
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
  // A failure is left unhandled, and so ends the process: its parent waits for no answer then.
  void answer(question).then((reply) => process.send!(reply));
});
// The process lives for as long as its own program wants it to.
process.channel!.unref();
