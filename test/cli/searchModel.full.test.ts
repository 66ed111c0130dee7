/** `moa-compile search --model`: the stages that run the model, what they leave, and how they fail. */
import { spawnSync } from 'node:child_process';
import { appendFileSync, copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { pythonObstacle, pythonPath, variables } from '../python/support.ts';
import { answers, answersOne, answersWith, fakePythons, makesProfile, passes, stages } from './fakePython.ts';
import { run, runMany, scratchFolder, type RunResult } from './support.ts';

const { root, model, data, otherData, fakePython, calls, search } = fakePythons();
const one = (args: readonly string[], own: Readonly<Record<string, string>> = {}): RunResult => runMany([args], { variables: { OMP_NUM_THREADS: '1', ...own } })[0]!;

describe('a Python that is no help', () => {
  const out = join(scratchFolder(), 'plan.json');
  const help = /help: python3 -m pip install torch transformers safetensors tqdm, or name another with --python; a search of an existing profile needs no Python\n$/;

  test.each([
    ['is not there', '/nonexistent', /error MOA7306: no Python has what the search needs; \/nonexistent: \S/],
    ['lacks torch', fakePython('bare', answers('echo \'{"python": "3.12.0", "missing": ["torch", "tqdm"]}\'; exit 3', 'exit 0')), /error MOA7306: no Python has what the search needs; .*\/bare: lacks torch, tqdm\n/],
    ['breaks', fakePython('broken', 'echo "first line" >&2; echo "ImportError: libfoo.so" >&2; exit 1'), /error MOA7306: .*\/broken: ImportError: libfoo\.so\n/],
    ['says nothing', fakePython('mute', 'exit 3'), /error MOA7306: .*\/mute: lacks packages\n/],
  ])('%s', (_, python, says) => {
    const { status, stdout, stderr } = one(search(out, python));
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(says);
    expect(stderr).toMatch(help);
    expect(readdirSync(join(out, '..'))).toEqual([]);
    expect(calls().filter((command) => command !== 'check' && command !== '')).toEqual([]);
  });

  test('of those on PATH the first that has all is taken, before them that of the environment', () => {
    const [lacking, good, active] = ['lacking', 'good', 'active'].map((name) => join(root, name)) as [string, string, string];
    for (const folder of [lacking, good, join(active, 'bin')]) mkdirSync(folder, { recursive: true });
    copyFileSync(fakePython('one', 'exit 3'), join(lacking, 'python3'));
    copyFileSync(fakePython('two', answers(passes, 'exit 1')), join(good, 'python3'));
    copyFileSync(fakePython('three', answers(passes, 'exit 1')), join(active, 'bin', 'python'));
    const args = search(out, '').filter((word) => word !== '--python' && word !== '');
    const PATH = `${lacking}:${good}:/usr/bin:/bin`;
    expect(one(args, { PATH }).stderr).toContain(`python: ${good}/python3, torch 2.0.0, transformers 5.0.0, cpu\n`);
    expect(one(args, { PATH, VIRTUAL_ENV: active }).stderr).toContain(`python: ${active}/bin/python, torch 2.0.0`);
    expect(one(args, { PATH: lacking }).stderr).toContain(`error MOA7306: no Python has what the search needs; ${lacking}/python3: lacks packages`);
    expect(one(args, { PATH: root }).stderr).toContain('error MOA7306: Python was not found\n');
    calls();
  });
});

describe('a stage that fails', () => {
  test.each([
    ['with 1', 'echo "what went wrong" >&2; exit 1', 1, 'exit code 1'],
    ['with 2', 'echo "what went wrong" >&2; exit 2', 2, 'exit code 2'],
    ['with 130', 'echo "what went wrong" >&2; exit 130', 1, 'exit code 130'],
    ['by a signal', 'echo "what went wrong" >&2; kill -9 $$', 1, 'SIGKILL'],
  ])('%s', (name, script, code, ending) => {
    const out = join(scratchFolder(), 'plan.json');
    const { status, stdout, stderr } = one(search(out, fakePython(`fails ${name}`, answers(passes, script)), '--report', join(out, '..', 'report.html')));
    expect({ status, stdout }).toEqual({ status: code, stdout: '' });
    expect(stderr).toContain(`what went wrong\nerror MOA7307: python -m moa_compile profile ended with ${ending}\n    help: what it said stands above; the same command goes on where it stopped\n`);
    expect(readdirSync(join(out, '..'))).toEqual(['plan.json.search']);
    expect(calls()).toEqual(['check', 'profile']);
  });

  test('an answer of a validation that is none is not taken, now or later', () => {
    const out = join(scratchFolder(), 'plan.json');
    const python = fakePython('liar', stages(makesProfile, answersWith([])));
    for (const expected of [['check', 'profile', 'validate'], ['check', 'validate']]) {
      const { status, stdout, stderr } = one(search(out, python, '--validate', '256'));
      expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
      expect(stderr).toMatch(/validation\.json:1:1: error MOA7308: 0 items; there have to be \d/);
      expect(calls()).toEqual(expected);
      expect(existsSync(out)).toBe(false);
    }
  });

  test('a search that is killed when Python has just written its result goes on behind it', () => {
    const folder = scratchFolder();
    const [plan, unbroken] = ['plan.json', 'unbroken.json'].map((name) => join(folder, name)) as [string, string];
    const validated = ['--validate', '256', '--plans', '1'];
    const dies = fakePython('dies', stages(`${makesProfile}; kill -9 $PPID`, `${answersOne}; kill -9 $PPID`));
    for (const expected of [['check', 'profile'], ['check', 'validate']]) {
      expect(run(search(plan, dies, ...validated))).toMatchObject({ status: null, stdout: '' });
      expect(calls()).toEqual(expected);
      expect(readdirSync(folder)).toEqual(['plan.json.search']);
    }
    const good = fakePython('good to the end', stages(makesProfile, answersOne));
    expect(one(search(plan, good, ...validated))).toMatchObject({ status: 0 });
    expect(calls()).toEqual(['check']);
    expect(one(search(unbroken, good, ...validated))).toMatchObject({ status: 0 });
    expect(calls()).toEqual(['check', 'profile', 'validate']);
    expect(readFileSync(plan, 'utf8')).toBe(readFileSync(unbroken, 'utf8'));
    // What was made for other options, or by nobody knows whom, is still refused.
    expect(one(search(plan, good, '--samples', '1'))).toMatchObject({ status: 2, stderr: expect.stringContaining('error MOA7309: ') });
    rmSync(join(`${plan}.search`, 'profile.safetensors.key'));
    expect(one(search(plan, good, ...validated))).toMatchObject({ status: 2, stderr: expect.stringContaining('error MOA7309: ') });
    expect(calls()).toEqual(['check', 'check']);
  });

  test('inputs that are not there are said before Python is asked', () => {
    const out = join(scratchFolder(), 'plan.json');
    const python = fakePython('unasked', answers(passes, 'exit 0'));
    const [noModel, noData] = runMany([search(out, python).map((word) => (word === model ? '/nowhere' : word)), search(out, python).map((word) => (word === data ? '/nowhere.jsonl' : word))]);
    expect(noModel).toMatchObject({ status: 2, stderr: expect.stringMatching(/error MOA1001: \/nowhere: /) });
    expect(noData).toMatchObject({ status: 2, stderr: expect.stringMatching(/error MOA1001: \/nowhere\.jsonl: /) });
    expect(calls()).toEqual([]);
  });
});

const reason = pythonObstacle();

describe.skipIf(reason !== undefined)(`a whole search${reason === undefined ? '' : ` (skipped: ${reason})`}`, { timeout: 180_000 }, () => {
  const folder = scratchFolder();
  const [plan, report, work] = ['plan.json', 'report.html', 'plan.json.search'].map((name) => join(folder, name)) as [string, string, string];
  let real: string;
  /** Real but for `check`, whose answer is known by then: it takes seconds to import the packages. */
  let quick: string;
  const validated = ['--validate', '256', '--report', report];
  let first: RunResult;
  let firstCalls: string[];
  let before: string;

  beforeAll(() => {
    const script = `
import json, sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
config = LlamaConfig(vocab_size=50, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=64,
                     max_position_embeddings=256, initializer_range=0.3, bos_token_id=1, eos_token_id=2)
LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(sys.argv[1])
for seed, path in enumerate(sys.argv[2:]):
    torch.manual_seed(seed)
    with open(path, "w") as file:
        for length in (128, 100, 192, 160, 256, 250, 260):
            tokens = torch.randint(3, 50, (length,)).tolist()
            file.write(json.dumps({"input_ids": tokens, "labels": [-100] * (length - 12) + tokens[-12:]}) + "\\n")
print(sys.executable)
`;
    rmSync(model, { recursive: true });
    const { status, stdout, stderr } = spawnSync(pythonPath, ['-c', script, model, data, otherData], { encoding: 'utf8', env: variables });
    if (status !== 0) throw new Error(stderr);
    real = fakePython('real', `exec '${stdout.trim().split('\n').at(-1)!}' "$@"`);
    quick = fakePython('quick', answers(passes, `exec '${stdout.trim().split('\n').at(-1)!}' "$@"`));
    first = one(search(plan, real, ...validated, '--json'));
    firstCalls = calls();
    before = existsSync(plan) ? readFileSync(plan, 'utf8') : '';
  }, 180_000);

  interface Evidence {
    readonly chosen: number;
    readonly reason: string;
    readonly plans: readonly { readonly validation: { readonly loss: number; readonly accuracy: number } }[];
    readonly validation: { readonly length: number; readonly samples: number; readonly answerTokens: number; readonly dense: { readonly loss: number } };
    readonly profile: { readonly lengths: readonly unknown[]; readonly data: string };
  }

  test('makes a plan with evidence, and a report', () => {
    expect({ status: first.status, calls: firstCalls }, first.stderr).toEqual({ status: 0, calls: ['check', 'profile', 'validate'] });
    expect(first.stderr).toMatch(/^python: .*\/real, torch [\d.]+\S*, transformers \d\S*, \w.*\n/);
    const { evidence, model: shape } = JSON.parse(before) as { evidence: Evidence; model: object };
    expect(shape).toEqual({ name: 'model', layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64, elementType: 'bf16', windows: [null, null] });
    const losses = evidence.plans.map(({ validation }) => validation.loss);
    expect(evidence.chosen).toBe(losses.indexOf(Math.min(...losses)));
    expect(evidence.reason).toBe(`lowest loss at 256 tokens, of ${losses.length} plans along the front`);
    expect(evidence.validation).toMatchObject({ length: 256, samples: 2, answerTokens: 20 });
    // An untrained model knows nothing: about ln 50, or worse.
    for (const loss of [...losses, evidence.validation.dense.loss]) expect(loss).toBeGreaterThan(2);
    expect(losses.some((loss) => loss !== evidence.validation.dense.loss)).toBe(true);
    expect(evidence.profile.lengths).toEqual([
      { length: 128, samples: 2, answerTokens: 24, loss: expect.any(Number) },
      { length: 192, samples: 2, answerTokens: 24, loss: expect.any(Number) },
    ]);
    const { seconds, plan: path, ...told } = JSON.parse(first.stdout) as Record<string, unknown>;
    expect({ path, told }).toEqual({ path: plan, told: expect.objectContaining({ chosen: evidence.chosen, plans: evidence.plans, validation: evidence.validation }) });
    expect(Object.keys(seconds as object).sort()).toEqual(['profile', 'read the profile', 'solve', 'validate']);
    expect(readFileSync(report, 'utf8')).toMatch(/^<!doctype html>[^]*<\/html>\s*$/i);
    expect(readdirSync(folder).sort()).toEqual(['plan.json', 'plan.json.search', 'report.html']);
    expect(readdirSync(work).sort()).toEqual(['profile.safetensors', 'profile.safetensors.key', 'request.json', 'validation.json', 'validation.json.key']);
    const [checked, compiled] = runMany([
      ['check-plan', plan, '--profile', join(work, 'profile.safetensors'), '--model', join(model, 'config.json')],
      [plan, '--emit=ir,cuda,ts', '--arch', 'sm_80', '--dry-run', '--model', join(model, 'config.json')],
    ]);
    for (const result of [checked, compiled]) expect(result).toMatchObject({ status: 0, stderr: '' });
  });

  test('the same command again asks Python for nothing that is there', () => {
    const again = one(search(plan, quick, ...validated));
    expect(again.status, again.stderr).toBe(0);
    expect(calls()).toEqual(['check']);
    expect(readFileSync(plan, 'utf8')).toBe(before);
    expect(again.stdout).toMatch(/\n\ndense: loss \d\.\d{5}, accuracy \d+\.\d % at 256, 2 samples\n.*plan\.json: plan \d; .*report\.html: the report\n$/);
  });

  test('other plans are validated anew, of the profile that is there', () => {
    const fails = fakePython('fails to validate', answers(passes, 'exit 1'));
    const other = one(search(join(folder, 'other.json'), fails, ...validated, '--work', work, '--plans', '2', '--density', '0.7@192', '-q'));
    expect(calls()).toEqual(['check', 'validate']);
    expect(other).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining('error MOA7307: python -m moa_compile validate ended with exit code 1\n') });
    expect(existsSync(join(folder, 'other.json'))).toBe(false);
    // The answer for the first plans is gone, so these are asked for again.
    expect(one(search(plan, fails, ...validated)).status).toBe(1);
    expect(calls()).toEqual(['check', 'validate']);
    expect(readFileSync(plan, 'utf8')).toBe(before);
  });

  test('plans are not validated at a length that no sample has', () => {
    const long = one(search(join(folder, 'long.json'), quick, '--work', work, '--validate', '320', '--plans', '1', '-q'));
    expect(long).toMatchObject({ status: 2, stdout: '', stderr: expect.stringMatching(/^error MOA7403: no sample of .*\/data\.jsonl has 320 tokens, .*; the longest has 260\n/) });
    expect(calls()).toEqual(['check', 'validate']);
    expect(existsSync(join(folder, 'long.json'))).toBe(false);
  });

  test('what was made of other inputs is not used, and not replaced', () => {
    const profile = readFileSync(join(work, 'profile.safetensors'));
    const commands = [
      search(plan, quick).map((word) => (word === data ? otherData : word)),
      search(plan, quick, '--samples', '1'),
      search(plan, quick, '--target', 'margin'),
      search(plan, quick, '--dtype', 'float32'),
      search(plan, quick).map((word) => (word === '128,192' ? '192' : word)),
    ];
    const results = runMany(commands);
    for (const { status, stdout, stderr } of results) {
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toMatch(/error MOA7309: .*plan\.json\.search\/profile\.safetensors was made from another model, other data or with other options\n {4}help: name another folder with --work, or begin anew with --restart\n$/);
    }
    expect(calls()).toEqual(commands.map(() => 'check'));
    expect(readFileSync(join(work, 'profile.safetensors'))).toEqual(profile);
    expect(readFileSync(plan, 'utf8')).toBe(before);
  });

  test('--restart begins anew, with other data too', () => {
    const restarted = one(search(plan, quick, ...validated, '--restart', '--target', 'margin').map((word) => (word === data ? otherData : word)));
    expect([restarted.status, ...calls()], restarted.stderr).toEqual([0, 'check', 'profile', 'validate']);
    expect(readFileSync(plan, 'utf8')).not.toBe(before);
    const [checked] = runMany([['check-plan', plan, '--profile', join(work, 'profile.safetensors')]]);
    expect(checked).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(join(work, 'profile.safetensors')).subarray(0, 4096).toString('latin1')).toContain('\\"target\\": \\"margin\\"');
  });

  test('what Python says of the data is shown, and its 2 is ours', () => {
    const spoilt = join(root, 'spoilt.jsonl');
    copyFileSync(data, spoilt);
    appendFileSync(spoilt, '{"input_ids": [1]}\n');
    const { status, stdout, stderr } = one(search(join(folder, 'spoilt.json'), quick, '-q').map((word) => (word === data ? spoilt : word)));
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/error MOA7402: .*spoilt\.jsonl:8: .*"labels".*\n {4}help: .*\nerror MOA7307: python -m moa_compile profile ended with exit code 2\n/);
    expect(existsSync(join(folder, 'spoilt.json'))).toBe(false);
  });

  test('a profile that exists, validated with a model', () => {
    const own = join(scratchFolder(), 'plan.json');
    const args = ['search', join(work, 'profile.safetensors'), '-o', own, '--density', '0.8@192,0.7@256', '--model', model, '--validation-data', data, '--validate', '256', '--plans', '1', '--device', 'cpu', '--python', quick, '-q'];
    calls();
    expect(one(args)).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(calls()).toEqual(['check', 'validate']);
    const { evidence } = JSON.parse(readFileSync(own, 'utf8')) as { evidence: Evidence };
    expect([evidence.plans.length, evidence.validation.samples]).toEqual([1, 2]);
  });
});
