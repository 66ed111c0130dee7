import type { InputCode } from './inputCodes.ts';
import { quote } from './quote.ts';

/** Ends the reading of a text: where, and what to say. Never leaves `readJson`. */
export class JsonFault extends Error {
  readonly offset: number;
  readonly code: InputCode;
  readonly help: string | undefined;

  constructor(offset: number, message: string, help?: string, code: InputCode = 'MOA1012') {
    super(message);
    this.name = 'JsonFault';
    this.offset = offset;
    this.code = code;
    this.help = help;
  }
}

const LITERALS = [
  ['true', true],
  ['false', false],
  ['null', null],
] as const;

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

/** Reads the tokens of strict JSON (RFC 8259). Each method starts at `position`, moves it past what it read, and throws `JsonFault`. */
export class JsonScanner {
  readonly text: string;
  position = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** Skips white space. Returns the character after it, `''` at the end. */
  peek(): string {
    for (;;) {
      const unit = this.text.charCodeAt(this.position);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return this.text.charAt(this.position);
      this.position += 1;
    }
  }

  /** A string; `position` is at its opening quote. */
  string(): string {
    const start = this.position;
    let result = '';
    let from = start + 1;
    for (let i = from; i < this.text.length; i += 1) {
      const unit = this.text.charCodeAt(i);
      if (unit === 0x22) {
        this.position = i + 1;
        return from === start + 1 ? this.text.slice(from, i) : result + this.text.slice(from, i);
      }
      if (unit < 0x20) {
        throw new JsonFault(i, 'a string holds a control character', 'write it as \\u and four hexadecimal digits, or close the string');
      }
      if (unit === 0x5c) {
        result += this.text.slice(from, i);
        const [decoded, length] = this.#escape(i);
        result += decoded;
        i += length - 1;
        from = i + 1;
      }
    }
    throw new JsonFault(start, 'the string that starts here has no end', 'close it with "');
  }

  /** The text that the escape at `offset` stands for, and its length in the input. */
  #escape(offset: number): readonly [string, number] {
    const letter = this.text.charAt(offset + 1);
    const simple = ESCAPES.get(letter);
    if (simple !== undefined) return [simple, 2];
    const digits = this.text.slice(offset + 2, offset + 6);
    if (letter === 'u' && /^[0-9a-fA-F]{4}$/.test(digits)) return [String.fromCharCode(Number.parseInt(digits, 16)), 6];
    throw new JsonFault(offset, `a string holds the unknown escape ${quote(this.text.slice(offset, offset + 2))}`, 'write a backslash as \\\\');
  }

  /** A number, perhaps infinite where a float cannot hold it; `position` is at its first digit or minus. */
  number(): number {
    const start = this.position;
    let i = start;
    if (this.text.charCodeAt(i) === 0x2d) i += 1;
    if (this.text.charCodeAt(i) === 0x30) i += 1;
    else i = this.#digits(i);
    if (this.text.charCodeAt(i) === 0x2e) i = this.#digits(i + 1);
    if (this.text.charAt(i) === 'e' || this.text.charAt(i) === 'E') {
      const sign = this.text.charAt(i + 1);
      i = this.#digits(sign === '+' || sign === '-' ? i + 2 : i + 1);
    }
    if (isWordUnit(this.text.charCodeAt(i))) throw this.#badNumber();
    this.position = i;
    return Number(this.text.slice(start, i));
  }

  /** The offset after one or more digits at `from`. */
  #digits(from: number): number {
    let i = from;
    while (isDigit(this.text.charCodeAt(i))) i += 1;
    if (i === from) throw this.#badNumber();
    return i;
  }

  #badNumber(): JsonFault {
    const word = this.#word();
    const help = /^-?(Infinity|NaN)/.test(word) ? INFINITE_HELP : 'write numbers as -12, 0.5 or 1e3';
    return new JsonFault(this.position, `${quote(word)} is not a JSON number`, help);
  }

  /** `true`, `false` or `null`; anything else is no value and throws. */
  literal(): boolean | null {
    for (const [name, value] of LITERALS) {
      if (this.text.startsWith(name, this.position) && !isWordUnit(this.text.charCodeAt(this.position + name.length))) {
        this.position += name.length;
        return value;
      }
    }
    throw this.unexpected('a value');
  }

  /** What to throw when the character at `position` does not start `expected`. */
  unexpected(expected: string): JsonFault {
    const word = this.#word();
    if (word === '') return new JsonFault(this.position, `the text ends where ${expected} should be`);
    return new JsonFault(this.position, `expected ${expected}, found ${quote(word)}`, helpFor(word));
  }

  /** The word or single character at `position`, for messages; at most 50 units of it. */
  #word(): string {
    return /^(?:[\w.+-]+|[^])/u.exec(this.text.slice(this.position, this.position + 50))?.[0] ?? '';
  }
}

const INFINITE_HELP = 'JSON has no NaN or Infinity; Python\'s json.dump writes them unless allow_nan=False';

function helpFor(word: string): string | undefined {
  if (/^(NaN|Infinity)$/.test(word)) return INFINITE_HELP;
  if (/^(True|False|None)$/.test(word)) return 'this is Python; write it with json.dump';
  if (word === "'") return 'strings take double quotes';
  if (word === '/' || word === '#') return 'JSON has no comments';
  return undefined;
}

const isDigit = (unit: number): boolean => unit >= 0x30 && unit <= 0x39;

const isLetter = (unit: number): boolean => (unit >= 0x41 && unit <= 0x5a) || (unit >= 0x61 && unit <= 0x7a);

/** Whether `unit` would run on a number or a literal: a letter, digit, `_`, `.`, `+` or `-`. NaN, the end, does not. */
function isWordUnit(unit: number): boolean {
  return isDigit(unit) || isLetter(unit) || unit === 0x5f || unit === 0x2e || unit === 0x2b || unit === 0x2d;
}
