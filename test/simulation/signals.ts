/** The signals of a run: a program names them by number, and several calls may share one. */
export class Signals {
  readonly #controllers = new Map<number, AbortController>();

  of(signal: number | undefined): AbortSignal | undefined {
    return signal === undefined ? undefined : this.#controller(signal).signal;
  }

  abort(signal: number): void {
    this.#controller(signal).abort();
  }

  #controller(signal: number): AbortController {
    let controller = this.#controllers.get(signal);
    if (!controller) this.#controllers.set(signal, (controller = new AbortController()));
    return controller;
  }
}
