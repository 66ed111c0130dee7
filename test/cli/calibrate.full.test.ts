/** From a model to a plan: `calibrate` makes the samples, also in two halves, and `search` takes them. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { pythonObstacle, pythonPath, variables } from '../python/support.ts';
import { answers, fakePythons, passes } from './fakePython.ts';
import { runMany, scratchFolder, start } from './support.ts';

/** A tiny random model, and a tokenizer of bytes with digits apart. */
const MAKE = `
import sys, torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
torch.manual_seed(0)
config = LlamaConfig(vocab_size=258, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=64,
                     max_position_embeddings=2048, initializer_range=0.3, bos_token_id=0, eos_token_id=1)
LlamaForCausalLM(config).save_pretrained(sys.argv[1])
bytes = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE(vocab={token: at for at, token in enumerate(["<s>", "</s>", *bytes])}, merges=[]))
tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(sys.argv[1])
print(sys.executable)
`;

interface Line {
  readonly input_ids: readonly number[];
  readonly labels: readonly number[];
  readonly kind: string;
  readonly length: number;
  readonly tokens: number;
  readonly right: boolean;
}

const reason = pythonObstacle();

describe.skipIf(reason !== undefined)(`calibrate${reason === undefined ? '' : ` (skipped: ${reason})`}`, { timeout: 300_000 }, () => {
  const { root, model, fakePython } = fakePythons();
  const [data, plan] = ['samples.jsonl', 'plan.json'].map((name) => join(root, name)) as [string, string];
  /** Real but for `check`, which takes seconds. */
  let python: string;
  const oneThread = { variables: { OMP_NUM_THREADS: '1' } };
  const calibrate = (output: string, ...more: readonly string[]): string[] => [
    'calibrate', '--model', model, '--lengths', '640,1k', '--samples', '5', '--answer-tokens', '16', '--batch', '2', '--device', 'cpu', '--python', python, '-o', output, ...more,
  ];

  beforeAll(() => {
    rmSync(model, { recursive: true });
    const { status, stdout, stderr } = spawnSync(pythonPath, ['-c', MAKE, model], { encoding: 'utf8', env: variables });
    if (status !== 0) throw new Error(stderr);
    python = fakePython('real', answers(passes, `exec '${stdout.trim().split('\n').at(-1)!}' "$@"`));
  });

  test('samples of each length and kind, of which a search makes a plan', () => {
    const [made, searched, checked] = runMany(
      [
        calibrate(data, '--keep-all'),
        ['search', '--model', model, '--data', data, '--lengths', '640', '--density', '0.7@640,0.7@1k', '--validate', '1k', '--plans', '1', '--no-exact', '-o', plan, '--device', 'cpu', '--python', python, '-q'],
        ['check-plan', plan, '--profile', join(`${plan}.search`, 'profile.safetensors')],
      ],
      oneThread,
    );
    expect(made).toMatchObject({ status: 0, stderr: expect.stringMatching(/^python: [^\n]*\n$/) });
    expect(made!.stdout).toMatch(/^length +kind +samples +right\n {3}640 {2}lines +2 +0 of 2\n[^]*\n {2}1024 {2}facts +1 +0 of 1\n\n.*samples\.jsonl: 10 samples; the dense model answered 0 of 10 right\n$/);
    const lines = readFileSync(data, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as Line);
    const kinds = ['lines', 'pairs', 'needles', 'facts', 'lines'];
    expect(lines.map(({ length, kind }) => `${length} ${kind}`)).toEqual([640, 1024].flatMap((length) => kinds.map((kind) => `${length} ${kind}`)));
    for (const { input_ids: tokens, labels, length, tokens: used } of lines) {
      expect([tokens.length, labels.length]).toEqual([length, length]);
      const answer = labels.flatMap((label, at) => (label === -100 ? [] : [at]));
      expect(answer).toEqual(answer.map((_, at) => used - answer.length + at));
      expect(answer.map((at) => tokens[at])).toEqual(answer.map((at) => labels[at]));
      expect(used - answer.length).toBeGreaterThan(0.95 * (length - 16));
    }
    expect(searched).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(checked).toMatchObject({ status: 0, stderr: '' });
    const { evidence } = JSON.parse(readFileSync(plan, 'utf8')) as { evidence: { validation: { samples: number; dense: { accuracy: number } } } };
    // The dense model says again what it said.
    expect(evidence.validation).toMatchObject({ length: 1024, samples: 5, dense: { accuracy: 1 } });
  });

  test('a model that answers nothing right is told before the work, and nothing is written', () => {
    const output = join(scratchFolder(), 'data.jsonl');
    const [result] = runMany([calibrate(output, '-q', '--samples', '50')], oneThread);
    expect(result).toMatchObject({ status: 2, stdout: '' });
    expect(result!.stderr).toMatch(/^error MOA7425: the dense model answered none of the first 8 questions right; where "[^\n]*\n {4}help: .*--keep-all.*\nerror MOA7307: /);
    expect(existsSync(output)).toBe(false);
  });

  test('the same command goes on to the same bytes after SIGINT', async () => {
    const at = scratchFolder();
    const output = join(at, 'data.jsonl');
    const partial = `${output}.partial`;
    const args = calibrate(output, '--keep-all');
    const child = start(args, { OMP_NUM_THREADS: '1' });
    let stderr = '';
    child.stderr!.on('data', (chunk) => (stderr += chunk));
    while (!existsSync(partial) && child.exitCode === null) await sleep(5);
    child.kill('SIGINT');
    expect(await once(child, 'close')).toEqual([null, 'SIGINT']);
    expect(stderr).toMatch(/^python: .*\n/);
    expect(stderr).toContain('interrupted: the same command goes on where ');
    expect(readdirSync(at)).toEqual(['data.jsonl.partial']);
    const [again] = runMany([args], oneThread);
    expect(again!.status, again!.stderr).toBe(0);
    expect(readFileSync(output)).toEqual(readFileSync(data));
    expect(readdirSync(at)).toEqual(['data.jsonl']);
  });
});
