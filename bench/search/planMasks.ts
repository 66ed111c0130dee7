/**
 * The masks of plans at some lengths, for `evidence/evaluate.py`: `node dist-bench/search/planMasks.js --lengths 1024,2048 name=plan.json ... > masks.json`.
 * A name says what its density is: `ours@0.25`.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { windowOf } from '../../dist/ir/affine.js';
import { readPlan } from '../../dist/plan/readPlan.js';
import { DiagnosticError, DiagnosticList } from '../../dist/util/diagnostics.js';

const { values, positionals } = parseArgs({ options: { lengths: { type: 'string', default: '1024,2048,4096' } }, allowPositionals: true });
const lengths = values.lengths.split(',').map(Number);

const masks = positionals.flatMap((argument) => {
  const at = argument.indexOf('=');
  const [name, path] = [argument.slice(0, at), argument.slice(at + 1)];
  const diagnostics = new DiagnosticList();
  const read = readPlan({ text: readFileSync(path), file: path }, undefined, {}, diagnostics);
  if (read === undefined) throw new DiagnosticError(diagnostics.toArray(), 2);
  const { layers, limits } = read.module;
  return lengths.map((length) => ({ name, length, sink: limits.sink, windows: layers.map(({ heads, modelWindow }) =>
      heads.map(({ rule }) => windowOf(rule, limits, length, modelWindow)),
    ) }));
});
console.log(JSON.stringify(masks));
