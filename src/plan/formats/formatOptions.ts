import type { Report } from '../report.ts';
import { FORMAT_OPTIONS, type FormatOptions, type InputFormat } from './inputFormat.ts';
import { SINK_RANGE, WINDOW_RANGE } from './streamingRule.ts';

const RANGES = { sparsity: { min: 0, max: 1 }, sink: SINK_RANGE, recent: WINDOW_RANGE } as const;

/** Reports options that the format does not take (MOA1306), and those outside their range (MOA1106). Whether all are right. */
export function checkFormatOptions(format: InputFormat, options: FormatOptions, report: Report): boolean {
  let right = true;
  for (const [name, { flag, formats }] of Object.entries(FORMAT_OPTIONS) as [keyof FormatOptions, { flag: string; formats: readonly InputFormat[] }][]) {
    const value = options[name];
    if (value === undefined) continue;
    if (!formats.includes(format)) {
      right = false;
      report.error('MOA1306', 0, '', `${flag} is no option of ${format}, the format of this input`, { help: `it is one of ${formats.join(', ')}` });
    } else if (typeof value === 'number' && name !== 'roundWindows') {
      const { min, max } = RANGES[name];
      if (value >= min && value <= max && (name === 'sparsity' || Number.isInteger(value))) continue;
      right = false;
      report.error('MOA1106', 0, '', `${flag} ${value} is not ${name === 'sparsity' ? 'a number' : 'an integer'} from ${min} to ${max}`);
    }
  }
  return right;
}
