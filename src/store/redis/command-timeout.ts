// Time-outs of commands that do not mistake our own delay for the store's. Node runs timers before it reads what has come in:
// when the process was stopped, or the event loop was busy for long, the reply may have been there all the time. The client's
// own time-out rejects the command before it looks; a broker under load then answered nothing but failures.
import type { Command, Redis } from 'ioredis';

/** The parts of a command that its own time-out uses; the timer is cleared by the client when the command is settled. */
interface Timed {
  _commandTimeoutTimer?: NodeJS.Timeout;
  isSettled: boolean;
  reject(error: Error): void;
}

/** Lets a client's commands (`commandTimeout`) fail only after one more look at what has come in. */
export function installCommandTimeout<C extends Redis>(client: C): C {
  const send = client.sendCommand.bind(client);
  client.sendCommand = (command, stream) => {
    (command as Command).setTimeout = setCommandTimeout;
    return send(command, stream);
  };
  return client;
}

function setCommandTimeout(this: unknown, ms: number): void {
  const command = this as Timed;
  command._commandTimeoutTimer ??= setTimeout(() => {
    // The event loop reads between its timers and this.
    setImmediate(() => {
      if (!command.isSettled) command.reject(new Error('Command timed out'));
    });
  }, ms);
}
