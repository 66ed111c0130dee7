import type { SourceText } from '../../util/sourceText.ts';
import { quote } from '../../util/quote.ts';
import type { PlanCode } from '../codes.ts';
import { MAX_HEADS, MAX_LAYERS } from '../planSchema.ts';
import { ProblemTally } from '../problemTally.ts';
import type { Details, Report } from '../report.ts';

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,9})?$/;

/** A line that is not blank. */
interface Row {
  readonly offset: number;
  readonly text: string;
}

/**
 * Reads numbers separated by tabs as layers x KV heads, as `numpy.loadtxt` does; blank lines do not count. Reports counts outside 1 to 1024
 * (MOA1108, MOA1302), rows of another length than the first (MOA1107) and what is no finite number (MOA1303). Undefined then.
 */
export function readTable(source: SourceText, report: Report): readonly (readonly number[])[] | undefined {
  const rows = rowsOf(source.text);
  const first = rows[0];
  if (first === undefined) {
    report.error('MOA1108', 0, '', 'the table of scores is empty', { help: 'give a row for each layer, with a score for each KV head' });
    return undefined;
  }
  if (/^\s*[[{]/.test(first.text)) {
    report.error('MOA1303', first.offset, '', 'this is JSON, not a table of scores', { help: 'give full_attention_heads.tsv, or the folder with it' });
    return undefined;
  }
  const problems = new ProblemTally();
  const fail = (code: PlanCode, offset: number, path: string, message: () => string, details: Details = {}): void => {
    problems.add(code, () => ({ code, offset, path, message: message(), details }));
  };
  if (rows.length > MAX_LAYERS) fail('MOA1108', 0, '', () => `${rows.length} layers; a plan has 1 to ${MAX_LAYERS}`);
  const heads = countCells(first.text);
  if (heads > MAX_HEADS) fail('MOA1302', first.offset, '', () => `${heads} KV heads in a layer; a plan has 1 to ${MAX_HEADS}`);
  const separator = heads === 1 ? otherSeparator(first.text) : undefined;

  const table = rows.slice(0, MAX_LAYERS).map(({ offset, text }, layer) => {
    const count = countCells(text);
    const help = 'give every layer one score for each KV head, separated by tabs';
    if (count !== heads) fail('MOA1107', offset, `scores[${layer}]`, () => `this row has ${count} scores, the first has ${heads}`, { help });
    let at = offset;
    return text.split('\t', MAX_HEADS).map((cell, head) => {
      const value = NUMBER.test(cell.trim()) ? Number(cell) : NaN;
      if (!Number.isFinite(value)) {
        const details = separator === undefined ? {} : { help: `the numbers look separated by ${separator}: separate them by tabs` };
        fail('MOA1303', at, `scores[${layer}][${head}]`, () => `${quote(cell)} is not a finite number`, details);
      }
      at += cell.length + 1;
      return value;
    });
  });
  problems.report(report);
  return problems.count === 0 ? table : undefined;
}

/** What separates the numbers of a line, where that is no tab. */
function otherSeparator(line: string): string | undefined {
  const separators = [['commas', ','], ['semicolons', ';'], ['spaces', ' ']] as const;
  return separators.find(([, separator]) => line.trim().split(separator).length > 1 && line.trim().split(separator).every((word) => NUMBER.test(word.trim())))?.[0];
}

function rowsOf(text: string): Row[] {
  let offset = 0;
  const rows: Row[] = [];
  for (const line of text.split('\n')) {
    if (line.trim() !== '') rows.push({ offset, text: line.replace(/\r$/, '') });
    offset += line.length + 1;
  }
  return rows;
}

function countCells(text: string): number {
  let count = 1;
  for (let at = text.indexOf('\t'); at >= 0; at = text.indexOf('\t', at + 1)) count += 1;
  return count;
}
