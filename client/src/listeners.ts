// Listeners by the name of an event.

export class Listeners<Events extends object> {
  readonly #all = new Map<keyof Events, Set<(value: never) => void>>();

  /** @returns ends it */
  on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => void): () => void {
    const set = this.#all.get(name) ?? new Set();
    this.#all.set(name, set);
    set.add(listener);
    return () => void set.delete(listener);
  }

  emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const listener of [...(this.#all.get(name) ?? [])]) (listener as (value: Events[Name]) => void)(value);
  }
}
