import { sessionError } from './sessionChecks.ts';

/** The numbers of a pool's free pages, taken from the front and given back at the end, so that the pages of a sequence mostly follow each other. */
export class PagePool {
  readonly pages: number;
  /** A circle of numbers; those from `#first` on are free. */
  readonly #numbers: Int32Array;
  #first = 0;
  #free: number;

  /** @param order the pages in the order in which they are taken first: a permutation of `0 .. pages - 1` */
  constructor(order: Int32Array) {
    this.pages = order.length;
    this.#numbers = order.slice();
    this.#free = order.length;
  }

  get free(): number {
    return this.#free;
  }

  /** Throws, and takes none, when fewer are free. */
  take(count: number): Int32Array {
    if (count > this.#free) throw sessionError('poolFull', `the sequence needs ${count} pages; ${this.#free} of ${this.pages} are free`);
    const taken = Int32Array.from({ length: count }, (_, n) => this.#numbers[(this.#first + n) % this.pages]!);
    this.#first = (this.#first + count) % Math.max(1, this.pages);
    this.#free -= count;
    return taken;
  }

  giveBack(numbers: Int32Array): void {
    for (const number of numbers) {
      this.#numbers[(this.#first + this.#free) % this.pages] = number;
      this.#free += 1;
    }
  }
}
