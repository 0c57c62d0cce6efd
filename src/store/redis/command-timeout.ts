// A command time-out that does not mistake this process's own delay for a silent Redis. Node runs timers before it reads from
// sockets: after the process was stopped, or busy for long, the reply may already be in the socket. ioredis' own time-out rejects
// the command before that is read, so a busy broker would fail every request.
import type { Command, Redis } from 'ioredis';

/** The internals of an ioredis command that its time-out uses. ioredis clears the timer when the command is settled. */
interface CommandInternals {
  _commandTimeoutTimer?: NodeJS.Timeout;
  isSettled: boolean;
  reject(error: Error): void;
}

/** Replaces the time-out of a client's commands (option `commandTimeout`) by one that reads the socket once more first. */
export function installCommandTimeout<C extends Redis>(client: C): C {
  const send = client.sendCommand.bind(client);
  client.sendCommand = (command, stream) => {
    (command as Command).setTimeout = setCommandTimeout;
    return send(command, stream);
  };
  return client;
}

function setCommandTimeout(this: unknown, ms: number): void {
  const command = this as CommandInternals;
  command._commandTimeoutTimer ??= setTimeout(() => {
    // The event loop reads from sockets between its timers and this immediate.
    setImmediate(() => {
      if (!command.isSettled) command.reject(new Error('Command timed out'));
    });
  }, ms);
}
