import { describe, expect, it } from 'vitest';
import { usualAttention } from '../../src/ir/attention.ts';
import { buildModule } from '../../src/plan/buildModule.ts';
import { parseModelConfig } from '../../src/plan/parseModelConfig.ts';
import { parsePlan } from '../../src/plan/parsePlan.ts';
import type { ParsedPlan } from '../../src/plan/planSchema.ts';
import { resolveModelShape, type ModelFlags } from '../../src/plan/resolveModelShape.ts';
import { collect } from './support.ts';

const row = (length: number, value: number) => Array.from({ length }, () => value);

function planOf(heads: number, model?: object): ParsedPlan {
  const matrices = { alphas: [row(heads, 0), row(heads, 0)], betas: [row(heads, 0.5), row(heads, 0.5)] };
  const plan = model === undefined ? matrices : { format: 'moa-plan', version: 1, model: { layers: 2, queryHeads: heads, kvHeads: 4, headDim: 64, ...model }, ...matrices };
  const { value, text } = collect((diagnostics) => parsePlan(JSON.stringify(plan), 'plan.json', diagnostics));
  expect(text).toBe('');
  return value!;
}

function resolve(plan: ParsedPlan, config?: object, flags: ModelFlags = {}) {
  const whole = { num_hidden_layers: 2, num_attention_heads: 8, num_key_value_heads: 4, head_dim: 64, ...config };
  const parsed = config && collect((diagnostics) => parseModelConfig(JSON.stringify(whole), 'config.json', diagnostics)).value;
  return collect((diagnostics) => resolveModelShape(plan, parsed, flags, diagnostics));
}

describe('where the shape comes from', () => {
  it('is assumed with a note when nothing says it', () => {
    const { value, text } = resolve(planOf(8));
    expect(value).toEqual({ shape: { layers: 2, queryHeads: 8, kvHeads: 8, headDim: 128 }, attention: usualAttention({ headDim: 128 }) });
    expect(text).toBe(`plan.json:1:11: note MOA1204: nothing says the model's shape; assumed: kvHeads 8, as many as query heads; headDim 128 (at alphas)
    help: pass --model config.json, or --kv-heads and --head-dim`);
  });

  it('comes from flags, with a note for what they leave out', () => {
    const { value, text } = resolve(planOf(8), undefined, { kvHeads: 2, elementType: 'fp16' });
    expect(value).toEqual({ shape: { layers: 2, queryHeads: 8, kvHeads: 2, headDim: 128 }, attention: usualAttention({ headDim: 128 }), elementType: 'fp16' });
    expect(text).toContain('assumed: headDim 128 (at alphas)');
  });

  it("comes from the plan's model, or from a config that agrees with it", () => {
    const plan = planOf(8, { name: 'mine', elementType: 'bf16' });
    expect(resolve(plan)).toMatchObject({ text: '', value: { shape: { kvHeads: 4, headDim: 64 }, name: 'mine', elementType: 'bf16' } });
    expect(resolve(plan, { _name_or_path: 'org/other', rope_theta: 1e4 })).toMatchObject({ text: '', value: { shape: { kvHeads: 4 }, name: 'org/other', elementType: 'bf16', rope: { theta: 1e4 } } });
  });

  it('lets flags override, with warnings', () => {
    const { value, text } = resolve(planOf(8, {}), { head_dim: 128, torch_dtype: 'float16' }, { headDim: 64, kvHeads: 8, elementType: 'bf16' });
    expect(value).toMatchObject({ shape: { kvHeads: 8, headDim: 64 }, elementType: 'bf16' });
    expect(text).toMatchInlineSnapshot(`
      "config.json:1:70: warning MOA1203: --kv-heads 8 overrides 4 (at num_key_value_heads)
      plan.json:1:79: warning MOA1203: --kv-heads 8 overrides 4 (at model.kvHeads)
      config.json:1:83: warning MOA1203: --head-dim 64 overrides 128 (at head_dim)
      config.json:1:101: warning MOA1203: --dtype bf16 overrides fp16 (at torch_dtype)"
    `);
  });
});

describe('how scores are made', () => {
  const gemma = { attn_logit_softcapping: 50, query_pre_attn_scalar: 256 };

  it('comes from a config, from the plan, or from flags', () => {
    expect(resolve(planOf(8, {}), gemma)).toMatchObject({ text: '', value: { attention: { softCap: 50, learnedSinks: false, scale: 1 / 16 } } });
    expect(resolve(planOf(8, { softCap: 30.5, learnedSinks: true, scale: 0.25 }))).toMatchObject({ text: '', value: { attention: { softCap: 30.5, learnedSinks: true, scale: 0.25 } } });
    expect(resolve(planOf(8, {}), {}, { softCap: 20, learnedSinks: true })).toMatchObject({ text: '', value: { attention: { softCap: 20, learnedSinks: true, scale: 0.125 } } });
  });

  it('is turned off by flags, with warnings', () => {
    const { value, text } = resolve(planOf(8, {}), { ...gemma, model_type: 'gpt_oss', sliding_window: 128 }, { softCap: 0, learnedSinks: false });
    expect(value).toMatchObject({ attention: { softCap: 0, learnedSinks: false, scale: 1 / 16 } });
    expect(text).toMatchInlineSnapshot(`
      "config.json:1:111: warning MOA1203: --softcap 0 overrides 50 (at attn_logit_softcapping)
      config.json:1:155: warning MOA1203: --no-learned-sinks overrides true (at model_type)"
    `);
  });

  it('has to be the same in the plan and the config', () => {
    const { value, text } = resolve(planOf(8, { softCap: 30, scale: 0.5 }), gemma);
    expect(value).toBeUndefined();
    expect(text).toMatchInlineSnapshot(`
      "plan.json:1:104: error MOA1202: the plan's model has softCap 30, the model config has 50 (at model.softCap)
          see config.json:1:111: softCap 50
          help: mend one of them, or pass --softcap to decide
      plan.json:1:115: error MOA1202: the plan's model has scale 0.5, the model config has 0.0625 (at model.scale)
          see config.json:1:138: scale 0.0625
          help: mend one of them"
    `);
  });

  it.each([-1, 1001, NaN, Infinity, 1e-4])('a cap of %d is refused', (softCap) => {
    const { value, text } = resolve(planOf(8, {}), undefined, { softCap });
    expect(value).toBeUndefined();
    expect(text).toContain(`MOA1106: --softcap ${softCap} is not from 0.001 to 1000, or 0`);
  });
});

describe('contradictions', () => {
  it('between the config and the plan\'s model point at both', () => {
    const { value, text } = resolve(planOf(8, { elementType: 'bf16' }), { num_key_value_heads: 2, head_dim: 128, torch_dtype: 'float16' });
    expect(value).toBeUndefined();
    expect(text).toMatchInlineSnapshot(`
      "plan.json:1:79: error MOA1202: the plan's model has kvHeads 4, the model config has 2 (at model.kvHeads)
          see config.json:1:70: kvHeads 2
          help: mend one of them, or pass --kv-heads to decide
      plan.json:1:91: error MOA1202: the plan's model has headDim 64, the model config has 128 (at model.headDim)
          see config.json:1:83: headDim 128
          help: mend one of them, or pass --head-dim to decide
      plan.json:1:108: error MOA1202: the plan's model has elementType bf16, the model config has fp16 (at model.elementType)
          see config.json:1:101: elementType fp16
          help: mend one of them, or pass --dtype to decide"
    `);
  });

  it('between the matrices and the config', () => {
    const { value, text } = resolve(planOf(8), { num_hidden_layers: 3, num_attention_heads: 16 });
    expect(value).toBeUndefined();
    expect(text).toMatchInlineSnapshot(`
      "plan.json:1:11: error MOA1201: the plan has 2 layers, the model config has 3 (at alphas)
          see config.json:1:22: 3 layers
          help: use the plan that was made for this model
      plan.json:1:11: error MOA1201: the plan has 8 query heads, the model config has 16 (at alphas)
          see config.json:1:46: 16 query heads
          help: use the plan that was made for this model"
    `);
  });

  it('between the matrices and flags', () => {
    const { value, text } = resolve(planOf(8, {}), undefined, { layers: 2, queryHeads: 16 });
    expect(value).toBeUndefined();
    expect(text).toContain('MOA1201: the plan has 8 query heads, --query-heads says 16 (at alphas)');
  });
});

describe('what the kernels cannot do', () => {
  it.each<[ModelFlags, number, string]>([
    [{ kvHeads: 3, headDim: 64 }, 8, 'MOA1205: 8 query heads cannot be shared out evenly among 3 KV heads'],
    [{ kvHeads: 16, headDim: 64 }, 8, 'MOA1205: 8 query heads cannot be shared out evenly among 16 KV heads'],
    [{ kvHeads: 1, headDim: 64 }, 32, 'MOA1207: 32 query heads share a KV head; the kernels support 1 to 16 for now'],
    [{ kvHeads: 8, headDim: 96 }, 8, 'MOA1206: headDim 96; the kernels support 64, 128 and 256 for now'],
    [{ kvHeads: 0, headDim: 64 }, 8, 'MOA1106: --kv-heads 0 is not an integer from 1 to 1024'],
    [{ kvHeads: 8, headDim: Number.NaN }, 8, 'MOA1106: --head-dim NaN is not an integer from 1 to 1024'],
  ])('%j of %d heads', (flags, heads, expected) => {
    const { value, text } = resolve(planOf(heads), undefined, flags);
    expect(value).toBeUndefined();
    expect(text).toContain(expected);
  });

  it('points at the KV heads and the query heads', () => {
    const { text } = resolve(planOf(8, { kvHeads: 3 }));
    expect(text).toBe(`plan.json:1:79: error MOA1205: 8 query heads cannot be shared out evenly among 3 KV heads (at model.kvHeads)
    see plan.json:1:104: 8 query heads
    help: kvHeads divides queryHeads`);
  });

  it.each([1, 2, 4, 8])('takes groups of %d', (groupSize) => expect(resolve(planOf(8 * groupSize), undefined, { kvHeads: 8, headDim: 128 }).errors).toBe(0));
});

describe('buildModule', () => {
  it('gives every head its rule and its origin, and equal rules one object', () => {
    const plan = planOf(8);
    const other = { ...plan, rules: plan.rules.map((rules) => rules.map((rule) => ({ ...rule }))) };
    const shape = { layers: 2, queryHeads: 8, kvHeads: 4, headDim: 64 };
    const module = buildModule(other, shape);
    expect(module).toMatchObject({ kind: 'headModule', shape, limits: plan.limits });
    expect(module.layers).toHaveLength(2);
    expect(module.layers[1]!.heads[7]).toEqual({ kind: 'head', rule: { kind: 'rule', alpha: 0, numerator: 1, denominator: 2 }, origin: { path: 'alphas[1][7]' } });
    expect(new Set(module.layers.flatMap(({ heads }) => heads.map(({ rule }) => rule))).size).toBe(1);
    expect(JSON.parse(JSON.stringify(module))).toEqual(module);
  });

  it('refuses the shape of another plan', () => {
    expect(() => buildModule(planOf(8), { layers: 3, queryHeads: 8, kvHeads: 8, headDim: 64 })).toThrow('internal error');
  });
});
