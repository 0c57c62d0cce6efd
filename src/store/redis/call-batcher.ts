// Questions that share the way to the store: what is asked within one turn of the event loop goes there in one call, and is
// answered one by one. A lone question waits for nothing; under load many share what each call costs at either end.

interface PendingCall<Question, Answer> {
  request: Question;
  weight: number;
  resolve(answer: Answer): void;
  reject(error: unknown): void;
}

export class CallBatcher<Question, Answer> {
  readonly #weightMax: number;
  readonly #send: (questions: Question[]) => Promise<Answer[]>;
  #pending: PendingCall<Question, Answer>[] = [];
  #weight = 0;

  /**
   * @param weightMax what one call carries at most, so that it does not hold up the store; one question always goes
   * @param send asks all of them; gives the answers in their order, or fails for all
   */
  constructor(weightMax: number, send: (questions: Question[]) => Promise<Answer[]>) {
    this.#weightMax = weightMax;
    this.#send = send;
  }

  submit(question: Question, weight: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#pending.length > 0 && this.#weight + weight > this.#weightMax) this.#flush();
      // Immediates run once all requests that have come in were looked at.
      if (this.#pending.length === 0) setImmediate(() => this.#flush());
      this.#pending.push({ request: question, weight, resolve, reject });
      this.#weight += weight;
    });
  }

  #flush(): void {
    const asked = this.#pending;
    // An earlier flush of a full call has left nothing, or another turn's questions, which lose nothing by going now.
    if (asked.length === 0) return;
    this.#pending = [];
    this.#weight = 0;
    this.#send(asked.map(({ request: question }) => question)).then(
      (answers) => {
        for (const [index, { resolve }] of asked.entries()) resolve(answers[index]!);
      },
      (error: unknown) => {
        for (const { reject } of asked) reject(error);
      },
    );
  }
}
