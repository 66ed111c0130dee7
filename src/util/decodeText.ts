import type { DiagnosticList } from './diagnostics.ts';
import type { InputCode } from './inputCodes.ts';
import { SourceText } from './sourceText.ts';

/**
 * Decodes UTF-8. Reports and returns undefined when there are more than `maxBytes` bytes (MOA1004), when the bytes are not UTF-8
 * (MOA1010), and when a byte order mark comes first (MOA1011).
 */
export function decodeText(input: Uint8Array | string, file: string, maxBytes: number, diagnostics: DiagnosticList): SourceText | undefined {
  const fail = (code: InputCode, message: string, help: string, source?: SourceText, offset = 0): undefined => {
    const location = source?.locate(offset) ?? { file, line: 1, column: 1 };
    diagnostics.add({ code, severity: 'error', message, help, location });
  };

  const bytes = typeof input === 'string' ? Buffer.byteLength(input) : input.byteLength;
  if (bytes > maxBytes) return fail('MOA1004', tooLargeMessage(bytes, maxBytes), TOO_LARGE_HELP);

  const mark = byteOrderMark(input);
  if (mark === 'UTF-16') return fail('MOA1010', 'the text is UTF-16, not UTF-8', 'save the file as UTF-8 without a byte order mark');
  if (mark === 'UTF-8') return fail('MOA1011', 'the text starts with a byte order mark', 'save the file as UTF-8 without a byte order mark');

  if (typeof input === 'string') return new SourceText(file, input);
  try {
    return new SourceText(file, new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(input));
  } catch {
    const source = new SourceText(file, new TextDecoder('utf-8', { ignoreBOM: true }).decode(input));
    return fail('MOA1010', 'the text is not UTF-8', 'save the file as UTF-8', source, firstReplaced(source.text, input));
  }
}

export const TOO_LARGE_HELP = 'a plan of 80 layers with 64 heads takes about 100 kB; check that this is the right file';

export function tooLargeMessage(bytes: number, maxBytes: number): string {
  return `the input has ${bytes} bytes, more than the limit of ${maxBytes}`;
}

function byteOrderMark(input: Uint8Array | string): 'UTF-8' | 'UTF-16' | undefined {
  if (typeof input === 'string') return input.charCodeAt(0) === 0xfeff ? 'UTF-8' : undefined;
  if (input[0] === 0xef && input[1] === 0xbb && input[2] === 0xbf) return 'UTF-8';
  if ((input[0] === 0xff && input[1] === 0xfe) || (input[0] === 0xfe && input[1] === 0xff)) return 'UTF-16';
  return undefined;
}

/** The offset in `text`, decoded leniently from `bytes`, of the first U+FFFD that the bytes do not spell. */
function firstReplaced(text: string, bytes: Uint8Array): number {
  let byte = 0;
  let last = 0;
  for (let i = text.indexOf('\ufffd'); i >= 0; i = text.indexOf('\ufffd', i + 1)) {
    byte += Buffer.byteLength(text.slice(last, i));
    if (bytes[byte] !== 0xef || bytes[byte + 1] !== 0xbf || bytes[byte + 2] !== 0xbd) return i;
    last = i;
  }
  return 0;
}
