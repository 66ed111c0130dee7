import type { SourceLocation } from './diagnostics.ts';

/** A text and the lines of it: turns offsets (UTF-16 units) into lines and columns. */
export class SourceText {
  readonly file: string;
  readonly text: string;
  /** The offset at which each line starts; made when first asked for. */
  #lineStarts: readonly number[] | undefined;

  constructor(file: string, text: string) {
    this.file = file;
    this.text = text;
  }

  /** The line and column of `offset`. A line ends at LF, CR LF or a lone CR, as in editors. */
  locate(offset: number): SourceLocation {
    const starts = (this.#lineStarts ??= findLineStarts(this.text));
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return { file: this.file, line: low + 1, column: offset - starts[low]! + 1 };
  }
}

function findLineStarts(text: string): number[] {
  const starts = [0];
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    if (unit === 0x0a || (unit === 0x0d && text.charCodeAt(i + 1) !== 0x0a)) starts.push(i + 1);
  }
  return starts;
}
