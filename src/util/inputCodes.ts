/** The diagnostics of reading any input file (10xx): its bytes, its text and its JSON. */
export const INPUT_CODES = {
  MOA1000: 'More problems were found than are shown.',
  MOA1001: 'The file does not exist.',
  MOA1002: 'The file may not be read.',
  MOA1003: 'A folder was given where a file is needed.',
  MOA1004: 'The input is larger than the limit.',
  MOA1005: 'The file could not be read for another reason.',
  MOA1010: 'The text is not UTF-8.',
  MOA1011: 'The text starts with a byte order mark.',
  MOA1012: 'The text is not JSON.',
  MOA1013: 'A key appears twice in one object.',
  MOA1014: 'A key is not allowed in any input: `__proto__`, `constructor`, `prototype`.',
  MOA1015: 'A number is too large for a 64-bit float.',
  MOA1016: 'Arrays or objects are nested too deep.',
  MOA1017: 'The text holds too many values.',
} as const;

export type InputCode = keyof typeof INPUT_CODES;
