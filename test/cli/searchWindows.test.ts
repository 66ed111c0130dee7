/** Whole searches of models whose layers have windows of their own: what is paid for, validated and written is what the model attends. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { spanOf } from '../../src/ir/affine.ts';
import { parsePlan } from '../../src/plan/parsePlan.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import { pythonObstacle, pythonPath, variables } from '../python/support.ts';
import { runMany, scratchFolder } from './support.ts';

const WINDOW = 128;
/** The models are so tiny that more threads only wait for each other. */
const oneThread = { variables: { OMP_NUM_THREADS: '1' } };

/** A random model of a family in a folder, and samples of up to 1024 tokens. */
const MAKE = `
import json, sys, torch, transformers
torch.manual_seed(0)
family, folder, data, more = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
common = dict(vocab_size=60, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=64,
              max_position_embeddings=1024, initializer_range=0.3, bos_token_id=1, eos_token_id=2)
config = getattr(transformers, family + "Config")(**{**common, **more})
getattr(transformers, family + "ForCausalLM")(config).save_pretrained(folder)
with open(data, "w") as file:
    for length in (512, 1024):
        tokens = torch.randint(3, 60, (length,)).tolist()
        file.write(json.dumps({"input_ids": tokens, "labels": [-100] * (length - 40) + tokens[-40:]}) + "\\n")
`;

/** The loss of the model at 1024 tokens with these masks and no code of the product: sinks by layer, windows by layer and query head. */
const MEASURE = `
import json, sys, torch, transformers
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask
folder, data, sinks, windows = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])

def attention(module, query, key, value, attention_mask, scaling=None, softcap=None, **others):
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    s = query @ key.transpose(2, 3) * scaling
    if softcap is not None:
        s = softcap * torch.tanh(s / softcap)
    i, j = torch.arange(s.shape[2])[:, None], torch.arange(s.shape[3])
    window = torch.tensor(windows[module.layer_idx])[:, None, None]
    # The plan's own mask; that of the model is left to the first test below.
    s = s.masked_fill(~((j <= i) & ((i - j < window) | (j < sinks[module.layer_idx]))), -torch.inf)
    return (torch.softmax(s, -1) @ value).transpose(1, 2), None

AttentionInterface.register("own", attention)
AttentionMaskInterface.register("own", eager_mask)
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
model.set_attn_implementation("own")
line = json.loads(open(data).readlines()[1])
tokens, labels = torch.tensor([line["input_ids"]]), torch.tensor(line["labels"])
with torch.no_grad():
    logits = model(input_ids=tokens, use_cache=False).logits[0].float()
print(float(torch.nn.functional.cross_entropy(logits[:-1], labels[1:], ignore_index=-100)))
`;

const families = [
  ['Mistral', { sliding_window: WINDOW }, [WINDOW, WINDOW]],
  ['Gemma2', { sliding_window: WINDOW, layer_types: ['sliding_attention', 'full_attention'], query_pre_attn_scalar: 16 }, [WINDOW, null]],
  ['Mistral', { sliding_window: 4096 }, [4096, 4096]],
] as const;

const reason = pythonObstacle();

describe.skipIf(reason !== undefined).each(families)(`%s with %j${reason === undefined ? '' : ` (skipped: ${reason})`}`, (family, more, windows) => {
  const folder = scratchFolder();
  const [model, data, plan, work] = ['model', 'data.jsonl', 'plan.json', 'plan.json.search'].map((name) => join(folder, name)) as [string, string, string, string];
  const run = (script: string, ...args: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync(pythonPath, ['-c', script, ...args], { encoding: 'utf8', env: variables });
    if (status !== 0) throw new Error(stderr);
    return stdout;
  };

  test('what is validated is what the plan says, and no key is paid for that is not attended', { timeout: 300_000 }, () => {
    run(MAKE, family, model, data, JSON.stringify(more));
    const search = ['search', '--model', model, '--data', data, '--lengths', '512', '--density', '0.5@1024', '--validate', '1024', '--plans', '1', '-o', plan];
    const [found] = runMany([[...search, '--device', 'cpu', '--python', pythonPath, '--report', join(folder, 'report.html'), '-q']], oneThread);
    expect(found).toEqual({ status: 0, stdout: '', stderr: '' });
    const diagnostics = new DiagnosticList();
    const parsed = parsePlan(readFileSync(plan, 'utf8'), plan, diagnostics)!;
    expect(diagnostics.toArray()).toEqual([]);
    expect(parsed.model!.windows).toEqual(windows);
    const { limits, rules } = parsed;

    const effective = rules.map((layer, at) => layer.map((rule) => spanOf(rule, limits, 1024, windows[at]!)));
    // Each window of 128 has its shortest rule.
    windows.forEach((window, at) => window === WINDOW && expect(rules[at]!.map((rule) => spanOf(rule, limits, 1024, null))).toEqual(Array(4).fill(WINDOW)));
    const { evidence } = JSON.parse(readFileSync(plan, 'utf8')) as { evidence: { plans: { densities: Record<string, number>; validation: { loss: number } }[] } };
    const density = effective.flat().reduce((sum, span) => sum + span / 1024, 0) / 8;
    expect(evidence.plans[0]!.densities['1024']).toBeCloseTo(density, 12);
    expect(density).toBeLessThanOrEqual(0.5);

    const sinks = windows.map((window) => (window === null ? limits.sink : 0));
    const masks = effective.map((layer, at) => layer.map((span) => span - sinks[at]!));
    const measured = Number(run(MEASURE, model, data, JSON.stringify(sinks), JSON.stringify(masks)));
    expect(Math.abs(evidence.plans[0]!.validation.loss - measured)).toBeLessThan(2e-5 * measured);

    const [checked, inspected] = runMany([
      ['check-plan', plan, '--profile', join(work, 'profile.safetensors'), '--model', join(model, 'config.json')],
      ['inspect', plan, '--lengths', '1024', '--json'],
    ]);
    expect(checked).toMatchObject({ status: 0, stderr: '' });
    expect(inspected!.status, inspected!.stderr).toBe(0);
    const { lengths } = JSON.parse(inspected!.stdout) as { lengths: { cacheDensity: number }[] };
    expect(lengths[0]!.cacheDensity).toBeCloseTo(density, 12);
  });
});

describe.skipIf(reason !== undefined)(`models that the search cannot handle${reason === undefined ? '' : ` (skipped: ${reason})`}`, { timeout: 300_000 }, () => {
  const llama = { model_type: 'llama', num_hidden_layers: 4, num_attention_heads: 8, hidden_size: 512, head_dim: 64 };
  // More of them: python/tests/search/test_known_config.py.
  test('are numbered errors that say why, and never a traceback', () => {
    const configs: Readonly<Record<string, object>> = {
      'differ by layer': { ...llama, num_attention_heads_per_layer: [48, 64, 64, 64] },
      MLA: { ...llama, model_type: 'deepseek_v3', kv_lora_rank: 512 },
      'linear_attention': { ...llama, model_type: 'qwen3_next', layer_types: ['linear_attention', 'linear_attention', 'linear_attention', 'full_attention'] },
    };
    const folder = scratchFolder();
    writeFileSync(join(folder, 'data.jsonl'), '{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}\n');
    const commands = Object.entries(configs).map(([name, config]) => {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'config.json'), JSON.stringify(config));
      return ['search', '--model', join(folder, name), '--data', join(folder, 'data.jsonl'), '--lengths', '64', '--density', '0.5', '-o', join(folder, `${name}.json`), '--python', pythonPath, '-q'];
    });
    const results = runMany(commands, oneThread);
    Object.keys(configs).forEach((why, at) => {
      const { status, stderr } = results[at]!;
      expect(status).toBe(2);
      expect(stderr).toMatch(/^error MOA7410: .*\n {4}help: .*\nerror MOA7307: /);
      expect(stderr).toContain(why);
      expect(stderr).not.toContain('Traceback');
      expect(existsSync(join(folder, `${why}.json`))).toBe(false);
    });
  });
});
