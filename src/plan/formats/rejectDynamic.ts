import type { JsonArray, JsonObject } from '../../util/jsonReader.ts';
import { quote } from '../../util/quote.ts';
import type { Report } from '../report.ts';

const MAX_LISTED = 12;
const MAX_TYPES = 3;
const DYNAMIC = 'a plan says what a head attends before there is a prompt';

/** The keys that mark arguments of methods which choose tokens at run time. */
export const CAPACITY_KEYS: readonly string[] = ['max_capacity_prompt', 'max_capacity_prompts', 'kernel_size', 'pooling', 'window_size', 'window_sizes'];
export const BUDGET_KEYS: readonly string[] = ['token_budget', 'page_size', 'chunk_size', 'page_budget'];

/** Whether a list is a pattern of MInference: for each layer `{"0": ["vertical_and_slash", 1000, 6096, 0.9], ...}`. */
export function isMInference({ items }: JsonArray): boolean {
  const heads = items.flatMap((layer) => (layer.kind === 'object' ? [...layer.members.values()] : [undefined]));
  return heads.length > 0 && heads.every((head) => head?.value.kind === 'array' && head.value.items[0]?.kind === 'string');
}

/** Whether an object holds head scores of HeadKV: `{"0-17": [0.5, ...], ...}`, layer and query head. */
export function isHeadKv({ members }: JsonObject): boolean {
  return members.size > 0 && [...members].every(([key, { value }]) => /^\d{1,4}-\d{1,4}$/.test(key) && value.kind === 'array');
}

/** Whether arguments are of a method that chooses tokens at run time, for which there is an error. */
export function rejectArguments({ members, offset }: JsonObject, report: Report): boolean {
  const has = (keys: readonly string[]): string | undefined => keys.find((key) => members.has(key));
  const budget = has(BUDGET_KEYS);
  const capacity = has(CAPACITY_KEYS);
  if (capacity !== undefined && capacity !== 'window_size') {
    report.error('MOA1322', offset, '', `${quote(capacity)} is an argument of PyramidKV, SnapKV or the like, which keep the tokens with the highest scores of each prompt`, { help: DYNAMIC });
  } else if (budget !== undefined) {
    report.error('MOA1323', offset, '', `${quote(budget)} is an argument of Quest or the like, which choose pages for each query`, { help: DYNAMIC });
  } else if (capacity !== undefined) {
    report.error('MOA1322', offset, '', `${quote(capacity)} is an argument of SnapKV or the like, which keep the tokens with the highest scores of each prompt`, { help: DYNAMIC });
  } else {
    return false;
  }
  return true;
}

/** Rejects a pattern of MInference, and says which of its heads are static. */
export function rejectMInference(list: JsonArray, report: Report): void {
  const counts = new Map<string, number>();
  const still: string[] = [];
  list.items.forEach((layer, index) => {
    if (layer.kind !== 'object') return;
    for (const [head, { value }] of layer.members) {
      const type = value.kind === 'array' && value.items[0]?.kind === 'string' ? value.items[0].value : '?';
      counts.set(type, (counts.get(type) ?? 0) + 1);
      if (type === 'stream_llm') still.push(`${index}/${/^\d{1,4}$/.test(head) ? head : '?'}`);
    }
  });
  const types = [...counts].sort((a, b) => b[1] - a[1]);
  const total = types.reduce((sum, [, count]) => sum + count, 0);
  const listed = types.slice(0, MAX_TYPES).map(([type, count]) => `${count} ${quote(type)}`).join(', ');
  const more = types.length > MAX_TYPES ? `, and ${types.length - MAX_TYPES} more types` : '';
  report.error('MOA1321', list.offset, '', `a pattern of MInference for ${total} heads: ${listed}${more}; only stream_llm is found before the prompt`, { help: staticHeads(still) });
}

function staticHeads(heads: readonly string[]): string {
  if (heads.length === 0) return `no head of it is static; ${DYNAMIC}`;
  const rest = heads.length > MAX_LISTED ? ` and ${heads.length - MAX_LISTED} more` : '';
  return `static are (layer/head) ${heads.slice(0, MAX_LISTED).join(', ')}${rest}; ${DYNAMIC}`;
}

export function rejectHeadKv({ members, offset }: JsonObject, report: Report): void {
  report.error('MOA1324', offset, '', `scores of HeadKV for ${members.size} heads, of which budgets are made when a model runs; the tokens that fill them are chosen for each prompt`, { help: DYNAMIC });
}
