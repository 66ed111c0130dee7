/** Values that are made once for each key, as long as there are no more than `most`; then all are forgotten. */
export class Memo<Key, Value> {
  readonly #most: number;
  readonly #values = new Map<Key, Value>();

  constructor(most: number) {
    this.#most = most;
  }

  get(key: Key, make: () => Value): Value {
    const known = this.#values.get(key);
    if (known !== undefined) return known;
    if (this.#values.size >= this.#most) this.#values.clear();
    const made = make();
    this.#values.set(key, made);
    return made;
  }
}
