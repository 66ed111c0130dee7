/** `moa-compile search` of a profile: what it writes is read by the other commands, and what it refuses. */
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { safetensorsBytes, scratchBytes } from '../search/support.ts';
import { smallFileSystem } from '../toolchain/helpers.ts';
import { profiled, SearchFixture, tableOf, wide } from './searchVariants.ts';
import { run, runMany, scratchFile, scratchFolder, snapshot } from './support.ts';

const fixture = new SearchFixture();
const { profile, table, folder, variants } = fixture;
// All of them: searchVariants.full.test.ts.
fixture.describe(['default', 'a front', 'latency']);

test('the table for people, silence, and the same bytes again', () => {
  const before = snapshot(folder);
  const args = variants['default']!.args;
  const own = scratchFolder();
  const [plan, quiet] = [join(own, 'plan.json'), join(own, 'quiet.json')];
  const [shown, silent, frontAgain] = runMany([
    ['search', profile.path, '-o', plan, ...args],
    ['search', profile.path, '-o', quiet, ...args, '-q'],
    ['search', profile.path, '-o', join(own, 'front.json'), ...variants['a front']!.args],
  ]);
  expect(shown).toMatchObject({ status: 0, stderr: '' });
  expect(shown!.stdout).toMatch(/^4 layers, 2 KV heads each, \d+ candidates, at most 2 rules a layer\n\nplan +loss at 512 +loss at 1024 +density at 512 +density at 1024 +gap\n0 \* +0\.\d{5} +0\.\d{5} +\d+\.\d % +\d+\.\d % +0\.\d{4} %\n\n/);
  expect(shown!.stdout.endsWith(`\n${plan}: plan 0\n`)).toBe(true);
  expect(silent).toEqual({ status: 0, stdout: '', stderr: '' });
  expect(frontAgain!.status).toBe(0);
  // In a process of its own, over a plan that is there.
  expect(run(fixture.search('default'))).toMatchObject({ status: 0, stderr: '' });
  for (const path of [plan, quiet]) expect(readFileSync(path, 'utf8')).toBe(before['default.json']);
  expect(readFileSync(join(own, 'front.json'), 'utf8')).toBe(before['a front.json']);
  expect(snapshot(folder)).toEqual(before);
  expect(readdirSync(own).sort()).toEqual(['front.json', 'plan.json', 'quiet.json']);
});

const spoilt = profile.tensors.map(({ name, shape: size, values }, index) => ({ name, shape: size, values: index === 0 ? values.map((value, at) => (at === 64 ? NaN : value)) : values }));
const nan = scratchBytes(safetensorsBytes(spoilt, profile.metadata));
const another = scratchFile('another.json', JSON.stringify(tableOf(profiled, 128)));
const lacking = scratchFile('lacking.json', JSON.stringify(tableOf([512])));
const far = scratchFile('far.json', JSON.stringify(tableOf([4096])));
const late = scratchFile('late.json', JSON.stringify(tableOf(profiled, 64, 192)));
const double = scratchFile('double.json', JSON.stringify(tableOf([512, 512])));
const half = ['--density', '0.5'];

const refused: readonly (readonly [name: string, args: readonly string[], code: string, ...says: RegExp[]])[] = [
  ['neither profile nor model', ['search', ...half], 'MOA7305', /neither a profile nor a model/, /--model FOLDER --data FILE\.jsonl --lengths/],
  ['no bound', ['search', profile.path], 'MOA7305', /no bound is given/, /--density 0\.5/],
  ['no profile', ['search', '/nowhere/p.safetensors', ...half], 'MOA1001', /\/nowhere\/p\.safetensors/],
  ['a profile that is a plan', ['search', table, ...half], 'MOA7101', /table\.json/],
  ['a value that is not a number', ['search', nan, ...half], 'MOA7108', /influence\.512.*layer 0.*(head|query head) 0/],
  ['a length between', ['search', profile.path, ...half, '--extend', '768'], 'MOA7305', /no loss is known at 768: it was not profiled, and is shorter than the longest profile, 1024/, /512, 1024/],
  ['a density that no candidate keeps', ['search', profile.path, '--density', '0.5,0.1@1k'], 'MOA7301', /^error MOA7301: density 0\.1 at 1024: the least that any candidate keeps there is 0\.125\n/],
  ['two densities that no candidate keeps', ['search', profile.path, '--density', '0.1'], 'MOA7301', /density 0\.1 at 512: .* is 0\.25; density 0\.1 at 1024: /],
  ['a density of nothing', ['search', profile.path, '--density', '0@1536'], 'MOA7301', /density 0 at 1536: the least that any candidate keeps there is 0\.0834\n/],
  ['a time of nothing', ['search', profile.path, '--latency', '0@1k', '--latency-table', table], 'MOA7301', /latency 0 at 1024: the least that any candidate keeps there is 0\.2266\n/],
  ['densities that only hold alone', ['search', profile.path, '--density', '0.3@512,0.45@1k', ...wide], 'MOA7301', /each bound can be held alone, but not all together: density 0\.3 at 512, density 0\.45 at 1024\n/, /all bounds together times 1\.\d{3} can be held: density 0\.\d+ at 512, density 0\.\d+ at 1024\n/],
  ['latency without a table', ['search', profile.path, '--latency', '0.5'], 'MOA7305', /--latency without --latency-table/, /bench\/search\/latency\.sh/],
  ['a table without latency', ['search', profile.path, ...half, '--latency-table', table], 'MOA7305', /--latency-table without --latency\n/],
  ['latency by query head', ['search', profile.path, '--latency', '0.5', '--latency-table', table, '--granularity', 'query-head'], 'MOA7305', /times are of KV heads/],
  ['no table', ['search', profile.path, '--latency', '0.5', '--latency-table', '/nowhere/t.json'], 'MOA1001', /\/nowhere\/t\.json/],
  ['a table of another head dimension', ['search', profile.path, '--latency', '0.5', '--latency-table', another], 'MOA7206', /another\.json: measured with headDim 128 and 2 query heads .* the model has 64 and 2/],
  ['a table without the length', ['search', profile.path, '--latency', '0.5@1k', '--latency-table', lacking], 'MOA7206', /lacking\.json: no times at 1024/, /the table has 512/],
  ['a table without any length', ['search', profile.path, '--latency', '0.5', '--latency-table', far], 'MOA7206', /no times at a length of the search/, /the table has 4096; the search 512, 1024/],
  ['a table that begins late', ['search', profile.path, '--latency', '0.6', '--latency-table', late], 'MOA7206', /begins with a span of 192 tokens at 512, and a candidate keeps 128/, /--min-span 192/],
  ['a table with a length twice', ['search', profile.path, '--latency', '0.6', '--latency-table', double], 'MOA7206', /2 entries for the length 512/],
  ['no weight', ['search', profile.path, ...half, '--weights', '0'], 'MOA7305', /every weight is 0/],
  ['a weight of a length without a loss', ['search', profile.path, ...half, '--weights', '1@2k'], 'MOA7305', /--weights names 2048/, /512, 1024/],
  ['too many candidates', ['search', profile.path, ...half, '--extend', '2k,4k,8k,16k', '--alpha-step', '64', '--betas', '65'], 'MOA7303', /the grid has \d{3,} candidates; at most 256/, /larger --alpha-step or fewer --betas/],
  ['no candidate', ['search', profile.path, ...half, '--alpha-step', '2048', '--betas', '1'], 'MOA7303', /no candidate/, /smaller --alpha-step/],
  ['too many lengths', ['search', profile.path, ...half, '--extend', Array.from({ length: 15 }, (_, n) => 2048 + 64 * n).join()], 'MOA7305', /17 lengths have a loss; .* 16/],
  ['too many bounds', ['search', profile.path, '--density', Array.from({ length: 64 }, (_, n) => `0.5@${2048 + 64 * n}`).join()], 'MOA7305', /64 bounds; .* 63/],
  ['a sink of half a page', ['search', profile.path, ...half, '--sink', '32'], 'MOA7305', /sink 32/],
  ['a sink as long as spans', ['search', profile.path, ...half, '--sink', '128'], 'MOA7305', /the sink is less/],
  ['a step of half a page', ['search', profile.path, ...half, '--alpha-step', '100'], 'MOA7305', /--alpha-step 100/],
  ['an odd length to extend to', ['search', profile.path, ...half, '--extend', '2000'], 'MOA7305', /the length 2000 is not a multiple of 64/],
  ['an odd length of a bound', ['search', profile.path, '--density', '0.5@1000'], 'MOA7305', /the length 1000 is/],
  ['an odd length of a time', ['search', profile.path, '--latency', '0.5@1000', '--latency-table', table], 'MOA7305', /the length 1000 is/],
  ['an odd length of a weight', ['search', profile.path, ...half, '--weights', '2@1000'], 'MOA7305', /the length 1000 is/],
  ['validation without a model', ['search', profile.path, ...half, '--validate', '2k'], 'MOA7305', /--validate without --model/],
  ['a profile and a model', ['search', profile.path, ...half, '--model', '.', '--data', table], 'MOA7305', /nothing to do with the model/],
  ['a model without data and lengths', ['search', ...half, '--model', '.'], 'MOA7305', /--model without --data\n/, /--model without --lengths\n/],
  ['words that are no options', ['search', profile.path, '--density', 'half'], '', /'half' is not a number from 0 to 1/],
  ['more than everything', ['search', profile.path, '--density', '1.5'], '', /'1\.5' is not a number from 0 to 1/],
  ['no length after @', ['search', profile.path, '--density', '0.5@'], '', /is not a length/],
  ['four rules', ['search', profile.path, ...half, '--rules-per-layer', '4'], '', /'4' is not an integer from 0 to 3/],
];

describe('what is refused', () => {
  const out = scratchFolder();
  const results = runMany(refused.map(([, args]) => [...args, '-o', join(out, 'plan.json'), '--report', join(out, 'report.html')]));

  test.each(refused.map(([name, , code, ...says], index) => [name, code, says, results[index]!] as const))('%s', (_, code, says, { status, stdout, stderr }) => {
    expect({ status, stdout }, stderr).toEqual({ status: 2, stdout: '' });
    for (const text of says) expect(stderr).toMatch(text);
    if (code !== '') expect(stderr).toContain(`error ${code}: `);
    expect(new Set(stderr.match(/MOA\d{4}/g) ?? []).size).toBe(code === '' ? 0 : 1);
    expect(stderr).not.toMatch(/\n {4}at |internal error|undefined/);
  });

  test('nothing was written', () => expect(readdirSync(out)).toEqual([]));

  test('one file for the plan and its report', () => {
    const { status, stderr } = run(['search', profile.path, ...half, '-o', 'plan', '--report', './plan'], { folder: out });
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining('error MOA7305: -o and --report name one file\n') });
    expect(readdirSync(out)).toEqual([]);
  });

  test('all that is wrong is said at once', () => {
    const { status, stderr } = run(['search', profile.path, '--sink', '32', '--extend', '2000', '--validate', '2k']);
    expect(status).toBe(2);
    for (const text of ['no bound is given', 'no file to write the plan to', 'sink 32', 'the length 2000', '--validate without --model', '5 errors']) expect(stderr).toContain(text);
  });
});

test('an output that cannot be written is noticed before the search', () => {
  const own = scratchFolder();
  writeFileSync(join(own, 'file'), '');
  mkdirSync(join(own, 'folder'));
  const plan = join(own, 'plan.json');
  const [below, nowhere, onFolder, report, both, device, input] = runMany([
    ['search', profile.path, ...half, '-o', join(own, 'file', 'plan.json')],
    ['search', profile.path, ...half, '-o', join(own, 'none', 'plan.json')],
    ['search', profile.path, ...half, '-o', join(own, 'folder')],
    ['search', profile.path, ...half, '-o', plan, '--report', join(own, 'none', 'report.html')],
    ['search', profile.path, ...half, '-o', join(own, 'folder'), '--report', join(own, 'none', 'report.html')],
    ['search', profile.path, ...half, '-o', '/dev/null'],
    ['search', profile.path, ...half, '-o', plan, '--report', profile.path],
  ]);
  expect(below).toMatchObject({ status: 1, stdout: '', stderr: expect.stringMatching(/error MOA5004: cannot write .*file\/plan\.json: part of the path is a file/) });
  for (const result of [nowhere, onFolder]) expect(result).toMatchObject({ status: 1, stdout: '', stderr: expect.stringMatching(/error MOA500\d: cannot write .*(none\/plan\.json|folder)/) });
  expect(readdirSync(join(own, 'folder'))).toEqual([]);
  expect(report).toMatchObject({ status: 1, stdout: '', stderr: expect.stringMatching(/^error MOA5001: cannot write .*none\/report\.html: there is no folder .*none\n {4}help: make it first/) });
  expect(both).toMatchObject({ status: 1, stderr: expect.stringMatching(/MOA5004[^]*MOA5001[^]*2 errors\n$/) });
  expect(device).toMatchObject({ status: 1, stderr: expect.stringContaining('MOA5004: cannot write /dev/null: it is no regular file') });
  expect(input).toMatchObject({ status: 1, stderr: expect.stringMatching(/MOA5014: .* is the input .*, which would be lost/) });
  // Nothing was searched for.
  expect(readdirSync(own).sort()).toEqual(['file', 'folder']);
});

test('a report that does not fit on the disk: the plan is not lost with it', ({ skip }) => {
  const disk = smallFileSystem(16);
  if (disk === undefined) return skip('no file system can be mounted here');
  try {
    const plan = join(scratchFolder(), 'plan.json');
    const result = run(['search', profile.path, ...half, '-o', plan, '--report', join(disk.folder, 'report.html')]);
    expect(result).toMatchObject({ status: 1, stdout: '', stderr: expect.stringMatching(/^error MOA5006: cannot write .*report\.html: .*; the plan is written: .*\/plan\.json\n/) });
    expect(readFileSync(plan, 'utf8')).toBe(readFileSync(join(folder, 'default.json'), 'utf8'));
  } finally {
    disk.unmount();
  }
});
