/** Requests, answers and tables of an evaluation, and the command. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { readAnswer, type Evaluation } from '../../src/evaluate/answer.ts';
import { effectiveContext } from '../../src/evaluate/figures.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import { answers, fakePythons, passes } from '../cli/fakePython.ts';
import { run, scratchFolder, tinyPlan } from '../cli/support.ts';

const questions = (right: number, of: number): object[] => Array.from({ length: of }, (_, n) => ({ depth: (n + 0.5) / of, distance: 100 * (of - n), right: n < right }));

function answer(): Record<string, unknown> {
  const lengths = [256, 512];
  const rights = { dense: [4, 4], plan: [4, 3], uniform: [2, 1] } as const;
  const losses = { dense: 2, plan: 2.1, uniform: 2.5 } as const;
  const subjects = ['dense', 'plan', 'uniform'] as const;
  const rows = lengths.flatMap((length, at) => subjects.map((subject) => ({ subject, length, at })));
  return {
    format: 'moa-evaluation',
    version: 1,
    device: 'cpu',
    torch: '2.0.0',
    transformers: '5.0.0',
    dtype: 'bfloat16',
    model: { layers: 2, queryHeads: 4, kvHeads: 2 },
    retrieval: rows.map(({ subject, length, at }) => ({ subject, length, kind: 'lines', questions: questions(rights[subject][at]!, 4) })),
    perplexity: rows.map(({ subject, length }) => ({ subject, length, tokens: 510, loss: losses[subject], byPosition: [{ from: 1, to: length, tokens: 510, loss: losses[subject] }] })),
    agreement: rows.filter(({ subject }) => subject !== 'dense').map(({ subject, length }) => ({ subject, length, with: 'dense', tokens: 512, kl: losses[subject] - 2, top1: subject === 'plan' ? 0.98 : 0.75 })),
  };
}

const read = (value: unknown): { readonly found: Evaluation | undefined; readonly said: readonly string[] } => {
  const diagnostics = new DiagnosticList();
  const found = readAnswer(Buffer.from(JSON.stringify(value)), 'answer.json', diagnostics);
  return { found, said: diagnostics.toArray().map(({ code, path, message }) => `${code} ${path ?? ''}: ${message}`) };
};

test('an answer is read as it is, or said to be wrong', () => {
  expect(read(answer()).found).toEqual(Object.fromEntries(Object.entries(answer()).filter(([key]) => key !== 'format' && key !== 'version')));
  const rows = answer()['retrieval'] as Record<string, unknown>[];
  for (const [change, says] of [
    [{ version: 2 }, 'MOA7312 version: unknown version 2'],
    [{ model: { layers: 0, queryHeads: 4, kvHeads: 2 } }, 'MOA7312 model.layers: 0 is not'],
    [{ retrieval: [{ ...rows[0], questions: [{ depth: 2, distance: 1, right: true }] }] }, 'MOA7312 retrieval[0].questions[0].depth: 2 is not from 0 to 1'],
    [{ agreement: [{}] }, 'MOA7312 agreement[0]: the key "subject" is missing'],
    [{ perplexity: 3 }, 'MOA7312 perplexity: expected an array'],
  ] as const) {
    const { found, said } = read({ ...answer(), ...change });
    expect(found).toBeUndefined();
    expect(said.join('\n')).toContain(says);
  }
});

test('the effective context is the longest length that all shorter ones reach too', () => {
  const evaluation = read(answer()).found!;
  const of = (subject: string, relative: boolean): number => effectiveContext(evaluation, subject, [512, 256], relative);
  expect([of('dense', false), of('plan', false), of('plan', true), of('uniform', false)]).toEqual([512, 256, 256, 0]);
});

describe('the command', () => {
  const { root, model, data, fakePython, calls } = fakePythons();
  const config = { model_type: 'llama', num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64, hidden_size: 256, max_position_embeddings: 4096, torch_dtype: 'float16' };
  const canned = join(root, 'canned.json');
  // Keeps the request, and answers with what is canned.
  const python = fakePython('answers', answers(passes, `for word; do case "$word" in --request=*) cp "\${word#*=}" '${root}/request.json';; --output=*) cp '${canned}' "\${word#*=}";; esac; done`));
  const evaluate = (...more: readonly string[]): ReturnType<typeof run> => run(['evaluate', '--model', model, '--plan', tinyPlan, '--lengths', '512,256', '--python', python, ...more]);

  beforeAll(() => {
    writeFileSync(join(model, 'config.json'), JSON.stringify(config));
    writeFileSync(canned, JSON.stringify(answer()));
  });

  test('asks for the masks of the plan and of baselines, and prints what Python found', () => {
    const output = join(scratchFolder(), 'result.json');
    const { status, stdout, stderr } = evaluate('--against', 'uniform', '--kinds', 'lines', '--samples', '4', '--texts', data, '-o', output);
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringMatching(/^python: .*\n$/) });
    const request = JSON.parse(readFileSync(join(root, 'request.json'), 'utf8')) as { readonly subjects: readonly { readonly id: string; readonly masks: Readonly<Record<string, { readonly sink: number; readonly windows: readonly unknown[] }>> }[] };
    expect(request).toMatchObject({ format: 'moa-evaluation-request', version: 1, seed: 0, lengths: [256, 512], retrieval: { kinds: ['lines'], samples: 4, depths: 8 }, texts: { path: data, samples: 4 } });
    expect(request.subjects.map(({ id }) => id)).toEqual(['plan', 'uniform']);
    for (const { masks } of request.subjects) expect(Object.keys(masks)).toEqual(['256', '512']);
    expect(readFileSync(output, 'utf8')).toBe(readFileSync(canned, 'utf8'));
    expect(stdout).toMatch(/retrieval: lines, answered\nattention +256 +512\ndense +100\.0 % +100\.0 %\nplan +100\.0 % +75\.0 %\nuniform +50\.0 % +25\.0 %\n/);
    expect(stdout).toMatch(/\nplan +100\.0 % +75\.0 % +256 +256\n/);
    expect(stdout).toMatch(/\nplan +8\.166 \(1\.1052 x\)/);
    expect(stdout).toMatch(/\nplan +dense +0\.10000 +98\.0 % +0\.10000 +98\.0 %\n/);
    expect(calls()).toEqual(['check', 'evaluate']);
  });

  test('--json prints the answer, and packages stand behind their plans', () => {
    const { status, stdout } = evaluate('--against', 'none', '--kinds', 'none', '--package', 'pkg', '--json', '-q');
    expect({ status, stdout: JSON.parse(stdout) as unknown }).toEqual({ status: 0, stdout: answer() });
    const request = JSON.parse(readFileSync(join(root, 'request.json'), 'utf8')) as { readonly subjects: readonly { readonly id: string; readonly package?: string; readonly masks: unknown }[]; readonly retrieval: unknown };
    expect(request.subjects.map(({ id }) => id)).toEqual(['plan', 'kernels']);
    expect(request.subjects[1]!.package).toMatch(/\/pkg$/);
    expect(request.subjects[1]!.masks).toEqual(request.subjects[0]!.masks);
    expect(request.retrieval).toBeNull();
    calls();
  });

  test('what is wrong is said before Python starts, and an answer that is none is an error', () => {
    for (const [more, says] of [
      [['--lengths', '64'], 'error MOA7313: --lengths: 64 tokens are too few'],
      [['--package', 'a', '--package', 'b'], 'error MOA7313: --package is given 2 times, and --plan 1 times'],
      [['--kinds', 'riddles'], "'riddles' is none of lines, pairs, needles, facts, none."],
      [['--plan', '/nowhere.json'], 'error MOA1001'],
      [['-o', '/nowhere/result.json'], 'error MOA50'],
    ] as const) {
      const { status, stdout, stderr } = evaluate(...more);
      expect({ status: status === 0, stdout }, stderr).toEqual({ status: false, stdout: '' });
      expect(stderr).toContain(says);
    }
    expect(calls()).toEqual([]);
    writeFileSync(canned, '{"format": "moa-evaluation"}');
    expect(evaluate('-q')).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining('error MOA7312') });
  });
});
