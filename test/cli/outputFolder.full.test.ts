/**
 * An output folder that cannot be used is noticed before anything is compiled, and --dry-run says
 * so too.
 */
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  fakeToolkit,
  run,
  runMany,
  scratchFolder,
  snapshot,
  sourcesOnly,
  start,
  tinyPlan,
} from './support.ts';

const toolkit = fakeToolkit();
const work = scratchFolder();
const at = (name: string): string => join(work, name);
const log = join(scratchFolder(), 'nvcc.log');

mkdirSync(at('thesis'));
writeFileSync(at('thesis/thesis.tex'), 'years of work');
mkdirSync(at('repository/.git'), { recursive: true });
writeFileSync(at('file'), 'mine');
symlinkSync('/nowhere/at/all', at('dangling'));
symlinkSync('loop', at('loop'));
symlinkSync(at('thesis'), at('link'));
mkdirSync(at('plans'));
copyFileSync(tinyPlan, at('plans/plan.json'));
symlinkSync(at('plans'), at('also-plans'));

/** Output, options, and what is said. */
const refusals: readonly (readonly [string, readonly string[], RegExp])[] = [
  [at('thesis'), [], /MOA5002.*is not empty and not a package/],
  [at('link'), [], /MOA5002.*thesis is not empty/],
  [at('repository'), ['--force'], /MOA5002.*is a git repository/],
  [at('file'), [], /MOA5004/],
  [at('file/package'), [], /MOA5004/],
  [at('dangling'), [], /MOA5004: .*dangling is a link that leads nowhere/],
  [at('dangling/package'), [], /MOA5004/],
  [at('loop'), [], /MOA5004/],
  ['/', ['--force'], /MOA5007/],
  ['.', ['--force'], /MOA5007/],
  ['..', ['--force'], /MOA5007/],
  [work, ['--force'], /MOA5007/],
  ['/proc/package', [], /MOA5005/],
  [at('x'.repeat(240)), [], /MOA5013: .* is too long/],
  [at(`${'x'.repeat(256)}/package`), [], /MOA5013|MOA5001/],
  [at('name-\ufffd'), [], /MOA5013: .* is not UTF-8/],
  [at('plans'), ['--force'], /MOA5014: .*plans holds the input .*plan\.json, which would be lost/],
  [at('also-plans'), ['--force'], /MOA5014/],
];
const compile = (output: string, ...more: readonly string[]): readonly string[] => [
  at('plans/plan.json'),
  '--nvcc',
  toolkit,
  '--arch',
  'sm_80',
  '--no-cache',
  '-o',
  output,
  ...more,
];
const before = snapshot(work);
const variables = { FAKE_NVCC_LOG: log };
const real = runMany(
  refusals.map(([output, more]) => compile(output, ...more)),
  { folder: work, variables },
);
const dry = runMany(
  refusals.map(([output, more]) => compile(output, ...more, '--dry-run')),
  { folder: work, variables },
);

test.each(
  refusals.map(
    ([output, , message], index) =>
      [output.slice(-40), message, real[index]!, dry[index]!] as const,
  ),
)('%s is refused, without nvcc; --dry-run says the same', (_, message, result, dryResult) => {
  expect(result).toMatchObject({ status: 1, stdout: '' });
  expect(result.stderr).toMatch(message);
  expect(result.stderr).toMatch(/^error MOA50\d\d: .*\n {4}help: .*\n$/);
  expect(dryResult).toEqual(result);
});

test('nothing was compiled, written or removed', () => {
  expect(existsSync(log)).toBe(false);
  expect(snapshot(work)).toEqual(before);
});

test('what is wrong with the plan, the tools and the folder is said at once', () => {
  const [result] = runMany([
    [tinyPlan, '--layers', '3', '--nvcc', '/nowhere', '--arch', 'sm_80', '-o', at('thesis')],
  ]);
  expect(result).toMatchObject({ status: 2 });
  for (const code of ['MOA1201', 'MOA4001', 'MOA5002']) expect(result!.stderr).toContain(code);
});

test('an empty name is bad usage', () => {
  for (const result of runMany([compile(''), ['search', 'p', '-o', ' ']]))
    expect(result).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('the name is empty'),
    });
});

test('an output beside the plan, in missing folders, and relative to where it runs', () => {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'deep'));
  copyFileSync(tinyPlan, join(folder, 'plan.json'));
  const runs = [
    ['plan.json', ...sourcesOnly, '-o', 'package'],
    ['plan.json', ...sourcesOnly, '-o', './a/../a/b/package'],
  ];
  for (const result of runMany(runs, { folder }))
    expect(result).toMatchObject({ status: 0, stderr: '' });
  const [above] = runMany([['../plan.json', ...sourcesOnly, '-o', '../package']], {
    folder: join(folder, 'deep'),
  });
  expect(above).toMatchObject({ status: 0, stdout: expect.stringMatching(/^unchanged /) });
  expect(readdirSync(folder).sort()).toEqual(['a', 'deep', 'package', 'plan.json']);
});

describe('--dry-run', () => {
  test('says what the real run would do: write, or nothing', () => {
    const folder = join(scratchFolder(), 'package');
    const args = [tinyPlan, ...sourcesOnly, '-o', folder];
    const [first, , second, other] = runMany([
      [...args, '--dry-run'],
      args,
      [...args, '--dry-run'],
      [...args, '--dry-run', '--no-rope'],
    ]);
    expect([first, second, other].map((result) => result!.stdout.split(' /')[0])).toEqual([
      'would write',
      'would not change',
      'would write',
    ]);
  });

  test('has the errors of nvcc and of architectures', () => {
    const more = [
      ['--nvcc', '/nowhere', '--arch', 'sm_80'],
      ['--nvcc', toolkit, '--arch', 'sm_70'],
    ];
    const args = (extra: readonly string[]): readonly string[] => [
      tinyPlan,
      ...extra,
      '-o',
      join(scratchFolder(), 'package'),
    ];
    const results = runMany(more.flatMap((extra) => [args(extra), [...args(extra), '--dry-run']]));
    expect(results.map(({ status }) => status)).toEqual([1, 1, 2, 2]);
    expect([results[1], results[3]]).toEqual([results[0], results[2]]);
  });
});

test('what would end a build after its kernels are compiled is noticed before', () => {
  const bare = fakeToolkit();
  rmSync(join(bare, 'bin', 'fatbinary'));
  const args = [tinyPlan, '--nvcc', bare, '--no-cache', '-o', at('out')];
  const two = [...args, '--arch', 'sm_80,sm_90'];
  const one = [...args, '--arch', 'sm_80'];
  const [bareReal, bareDry] = runMany([two, [...two, '--dry-run']], { variables });
  const nowhere = { variables: { ...variables, TMPDIR: '/nowhere' } };
  const [realTemporary, dryTemporary] = [run(one, nowhere), run([...one, '--dry-run'], nowhere)];
  expect(bareReal).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/^error MOA4109: .*fatbinary/),
  });
  expect(realTemporary).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/^error MOA4108: .*\/nowhere/),
  });
  expect([bareDry, dryTemporary]).toEqual([bareReal, realTemporary]);
  expect(existsSync(log)).toBe(false);
});

test('an error of the system that nothing else describes is no bug of moa-compile', () => {
  const below = join(at('file'), 'cache');
  const [clear] = runMany([{ args: ['cache', 'clear'], variables: { XDG_CACHE_HOME: below } }]);
  expect(clear).toMatchObject({
    status: 1,
    stdout: '',
    stderr: expect.stringMatching(/^error MOA5017: ENOTDIR: .*\n {4}help: .*\n$/),
  });
});

test('--check of a file, and of a folder below one', () => {
  for (const result of runMany(
    [at('file'), at('file/x'), at('loop')].map((folder) => [
      tinyPlan,
      ...sourcesOnly,
      '-o',
      folder,
      '--check',
    ]),
  )) {
    expect(result).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringMatching(/^error MOA5010: .* is not a package of moa-compile: /),
    });
  }
  expect(readFileSync(at('file'), 'utf8')).toBe('mine');
});

test('names of files that are not ours are printed so that they cannot steer a terminal', () => {
  const folder = join(scratchFolder(), 'package');
  const args = [tinyPlan, ...sourcesOnly, '-o', folder];
  expect(run(args)).toMatchObject({ status: 0 });
  writeFileSync(join(folder, 'a\u001b[31m\nb'), '');
  const { status, stderr } = run(args);
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: expect.stringContaining('did not write: "a\\u001b[31m\\nb"\n'),
  });
});

test('two runs into one folder at once: one of the two packages is there, whole', async () => {
  const folder = join(scratchFolder(), 'package');
  const args = [tinyPlan, ...sourcesOnly, '-o', folder];
  const runs = [args, [...args, '--no-rope']].map((words) => start(words, {}));
  const ends = await Promise.all(runs.map((child) => once(child, 'close')));
  expect(ends.map(([status]) => status as unknown)).toEqual([0, 0]);
  const checks = runMany([
    ['verify', folder],
    [...args, '--check'],
    [...args, '--no-rope', '--check'],
  ]);
  expect(checks.map(({ status }) => status).sort()).toEqual([0, 0, 1]);
  expect(readdirSync(join(folder, '..'))).toEqual(['package']);
});
