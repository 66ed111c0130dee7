/** Tables as Markdown, and the text of numbers in them. */

export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(header), `|${header.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

export const signed = (value: number): string => `${value > 0 ? '+' : ''}${value.toFixed(1)}`;
