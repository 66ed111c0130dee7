/** `moa-compile calibrate` without a model: what it hands to Python, and how it fails. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { answers, fakePythons, passes } from './fakePython.ts';
import { run, runMany, scratchFolder, type RunResult } from './support.ts';

const { root, model, data, fakePython, calls } = fakePythons();
const folder = scratchFolder();
const out = join(folder, 'data.jsonl');
const calibrate = (python: string, ...more: readonly string[]): string[] => ['calibrate', '--model', model, '--lengths', '1k,2k', '-o', out, '--python', python, ...more];
const one = (args: readonly string[]): RunResult => runMany([args])[0]!;
/** Prints what it is called with, a word a line. */
const prints = fakePython('prints', answers(passes, `for word; do echo "$word"; done`));

test('Python gets the options, and what it prints is the result', () => {
  const [few, all, own, quiet] = runMany([
    calibrate(prints),
    calibrate(prints, '--texts', '-texts', '--kinds', 'lines,facts', '--samples', '4', '--answer-tokens', '8', '--seed', '0', '--keep-right', '--prompt', 'chat', '--batch', '2', '--device', 'cpu', '--dtype', 'bfloat16', '--restart'),
    calibrate(prints, '--questions', data, '--keep-all').map((word) => (word === model ? join(model, 'config.json') : word)),
    calibrate(prints, '-q'),
  ]) as [RunResult, RunResult, RunResult, RunResult];
  const common = ['-m', 'moa_compile', 'calibrate', `--model=${model}`, '--lengths=1024,2048', `--output=${out}`];
  const words = ({ stdout }: RunResult): string[] => stdout.trimEnd().split('\n');
  expect(few).toMatchObject({ status: 0, stderr: `python: ${prints}, torch 2.0.0, transformers 5.0.0, cpu\n` });
  expect(words(few)).toEqual(common);
  expect(words(all)).toEqual([...common, '--texts=-texts', '--kinds=lines,facts', '--samples=4', '--answer-tokens=8', '--seed=0', '--prompt=chat', '--batch=2', '--device=cpu', '--dtype=bfloat16', '--keep-right', '--restart']);
  expect(words(own)).toEqual([...common, `--questions=${data}`, '--keep-all']);
  expect(quiet.stderr).toBe('');
  expect(words(quiet)).toEqual([...common, '--quiet']);
  expect(calls()).toEqual([1, 2, 3, 4].flatMap(() => ['check', 'calibrate']));
  expect(run(calibrate(fakePython('silent', answers(passes, 'exit 0'))))).toMatchObject({ status: 0, stdout: '' });
  calls();
});

describe('bad usage is said before Python is asked', () => {
  const without = (name: string): string[] => calibrate(prints).filter((word, at, all) => word !== name && all[at - 1] !== name);
  const cases: readonly (readonly [string, readonly string[], string])[] = [
    ['no model', without('--model'), "required option '--model <folder>' not specified"],
    ['no lengths', without('--lengths'), "required option '--lengths <list>' not specified"],
    ['no output', without('-o'), "required option '-o, --output <data.jsonl>' not specified"],
    ['questions and texts', calibrate(prints, '--questions', data, '--texts', data), "option '--questions <file.jsonl>' cannot be used with option '--texts <path>'"],
    ['questions and kinds', calibrate(prints, '--questions', data, '--kinds', 'lines'), "cannot be used with option '--kinds <list>'"],
    ['right and all', calibrate(prints, '--keep-right', '--keep-all'), "option '--keep-right' cannot be used with option '--keep-all'"],
    ['no samples', calibrate(prints, '--samples', '0'), "'0' is not a positive integer"],
    ['a seed below 0', calibrate(prints, '--seed', '-1'), "'-1' is not an integer from 0"],
    ['another prompt', calibrate(prints, '--prompt', 'xml'), 'Allowed choices are auto, chat, plain'],
  ];
  const results = runMany(cases.map(([, args]) => args));
  test.each(cases.map(([name, , says], at) => [name, says, results[at]!] as const))('%s', (_, says, result) => {
    expect(result).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining(says) });
  });

  test('an output that cannot be written, or is an input', () => {
    const taken = join(root, 'taken');
    mkdirSync(taken);
    const to = (path: string, ...more: readonly string[]): string[] => calibrate(prints, ...more).map((word) => (word === out ? path : word));
    const [absent, isFolder, isInput] = runMany([to(join(root, 'nowhere', 'data.jsonl')), to(taken), to(data, '--questions', data)]) as [RunResult, RunResult, RunResult];
    expect(absent).toMatchObject({ status: 1, stdout: '', stderr: expect.stringMatching(/error MOA5001: .*nowhere/) });
    expect(isFolder).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining('error MOA5004: ') });
    expect(isInput).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining('error MOA5014: ') });
    expect(calls()).toEqual([]);
  });
});

describe('a Python that is no help, or fails', () => {
  test('it lacks torch', () => {
    const { status, stdout, stderr } = one(calibrate(fakePython('bare', answers('echo \'{"missing": ["torch"]}\'; exit 3', 'exit 0'))));
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^error MOA7306: no Python has what the calibration needs; .*\/bare: lacks torch\n {4}help: python3 -m pip install torch transformers safetensors tqdm, or name another with --python\n$/);
  });

  test.each([
    ['with 1', 'exit 1', 1, 'exit code 1', ''],
    ['with 2', 'exit 2', 2, 'exit code 2', ''],
    ['killed', 'kill -9 $$', 1, 'SIGKILL', 'note MOA7307: the system ended it, most likely because memory ran out: try --batch 1, shorter --lengths or --dtype bfloat16\n'],
  ])('%s', (name, script, code, ending, note) => {
    const python = fakePython(`ends ${name}`, answers(passes, `echo "half a table"; echo "error MOA7425: what went wrong" >&2; ${script}`));
    const { status, stdout, stderr } = one(calibrate(python));
    expect({ status, stdout }).toEqual({ status: code, stdout: '' });
    expect(stderr).toMatch(/^python: .*\nerror MOA7425: what went wrong\nerror MOA7307: /);
    expect(stderr).toContain(`error MOA7307: python -m moa_compile calibrate ended with ${ending}\n    help: what it said stands above; the same command goes on where it stopped\n${note}`);
    expect(readdirSync(folder)).toEqual([]);
  });
});

