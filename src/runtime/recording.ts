/** What a graph means for one of its owners, a session: what must hold before a launch, and what the host counts after it. */
export interface GraphEffect {
  /** Throws where the graph can never be launched again. */
  checkAlive(): void;
  /** Throws where it cannot be launched now. Changes nothing. */
  check(): void;
  /** Brings to the device what the launches read and only the host knows. Nothing is counted yet, so it may fail. */
  prepare(): void;
  /** The graph was launched: host mirrors follow. */
  count(): void;
}

/** A capture under way. Whoever records launches whose effect the host mirrors says so here, once for each graph. */
export class Recording {
  readonly #effects = new Map<object, GraphEffect>();

  /** The effect of this owner, made on its first call. */
  effectOf<Effect extends GraphEffect>(owner: object, make: () => Effect): Effect {
    let effect = this.#effects.get(owner) as Effect | undefined;
    if (effect === undefined) this.#effects.set(owner, (effect = make()));
    return effect;
  }

  get effects(): readonly GraphEffect[] {
    return [...this.#effects.values()];
  }
}
