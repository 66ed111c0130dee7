import { invariant } from '../util/invariant.ts';
import type { JsonValue } from '../util/jsonReader.ts';

/** Thrown for text that `printJavascript` did not write. */
class UnreadableText extends Error {}

const deepest = 64;

/**
 * The value that `printJavascript` wrote at `start` of `text`: objects, arrays, strings, numbers,
 * `true`, `false` and `null`, with comments between them. Nothing is run. Undefined for any other
 * text.
 */
export function readJavascript(text: string, start: number): JsonValue | undefined {
  try {
    return new Reader(text, start).value(0);
  } catch (error) {
    if (error instanceof UnreadableText) return undefined;
    throw error;
  }
}

class Reader {
  readonly #text: string;
  #at: number;

  constructor(text: string, at: number) {
    this.#text = text;
    this.#at = at;
  }

  value(depth: number): JsonValue {
    if (depth > deepest) throw new UnreadableText();
    switch (this.#peek()) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#list('[', ']', () => this.value(depth + 1));
      case "'":
        return this.#string();
      default:
        return this.#word();
    }
  }

  #object(depth: number): JsonValue {
    const entries = this.#list('{', '}', (): [string, JsonValue] => {
      const key = this.#peek() === "'" ? this.#string() : this.#match(/[A-Za-z_]\w*/y);
      this.#take(':');
      return [key, this.value(depth + 1)];
    });
    if (new Set(entries.map(([key]) => key)).size < entries.length) throw new UnreadableText();
    return Object.fromEntries(entries);
  }

  /** Items with commas between them, and perhaps after the last. */
  #list<Item>(open: string, close: string, item: () => Item): Item[] {
    const items: Item[] = [];
    this.#take(open);
    while (this.#peek() !== close) {
      items.push(item());
      if (this.#peek() !== close) this.#take(',');
    }
    this.#take(close);
    return items;
  }

  #string(): string {
    this.#peek();
    const body = this.#match(/'(?:[^'\\\n]|\\.)*'/y).slice(1, -1);
    try {
      return JSON.parse(`"${body.replaceAll("\\'", "'").replaceAll('"', '\\"')}"`) as string;
    } catch {
      throw new UnreadableText();
    }
  }

  #word(): JsonValue {
    const word = this.#match(/-?[\w.+-]+/y);
    const constants: Readonly<Record<string, JsonValue>> = { true: true, false: false, null: null };
    if (Object.hasOwn(constants, word)) return constants[word]!;
    if (!/^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(word)) throw new UnreadableText();
    return Number(word);
  }

  /** The next character that is neither space nor comment; undefined at the end. */
  #peek(): string | undefined {
    const gap = /(?:\s|\/\/[^\n]*)*/y;
    gap.lastIndex = this.#at;
    invariant(gap.test(this.#text), 'nothing is a gap');
    this.#at = gap.lastIndex;
    return this.#text[this.#at];
  }

  #take(character: string): void {
    if (this.#peek() !== character) throw new UnreadableText();
    this.#at += 1;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    if (found === undefined) throw new UnreadableText();
    this.#at = pattern.lastIndex;
    return found;
  }
}
