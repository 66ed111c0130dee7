/**
 * Writes the plan that latencies are measured with: `copies` layers for each span of a ladder (`ladderPlan.ts`).
 *
 *     node dist-bench/search/latencyPlan.js PLAN.json [options]
 *
 *     --lengths 1024,2048,4096    that will be measured; the longest ends the ladder
 *     --query-heads 8 --kv-heads 4 --head-dim 64    the model; that of bench/search/evidence by default
 *     --dtype bf16                or fp16
 *     --copies 32                 layers of each span
 */
import { parseArgs } from 'node:util';
import { numbers } from '../lib/arguments.ts';
import { writeJson } from '../lib/writeJson.ts';
import { ladderOf, ladderPlan } from './ladderPlan.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    lengths: { type: 'string', default: '1024,2048,4096' },
    'query-heads': { type: 'string', default: '8' },
    'kv-heads': { type: 'string', default: '4' },
    'head-dim': { type: 'string', default: '64' },
    dtype: { type: 'string', default: 'bf16' },
    copies: { type: 'string', default: '32' },
  },
});
const [out] = positionals;
if (out === undefined) throw new Error('usage: latencyPlan PLAN.json [options]');
const lengths = numbers(values.lengths);
const shape = {
  queryHeads: Number(values['query-heads']),
  kvHeads: Number(values['kv-heads']),
  headDim: Number(values['head-dim']),
  elementType: values.dtype as 'bf16' | 'fp16',
};
writeJson(out, ladderPlan(shape, lengths, Number(values.copies)));
console.log(`${out}: ${ladderOf(lengths).length} spans x ${values.copies} layers`);
