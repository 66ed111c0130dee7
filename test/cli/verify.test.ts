/** `moa-compile verify DIR`, and what `--check` says of machine code. */
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../src/emit/package.ts';
import { stableJson } from '../../src/util/stableJson.ts';
import {
  fakeToolkit,
  run,
  runMany,
  scratchFile,
  scratchFolder,
  sourcesOnly,
  tinyPlan,
  type RunResult,
} from './support.ts';

const toolkit = fakeToolkit();
const folder = scratchFolder();
const at = (name: string): string => join(folder, name);
const withCubins = [tinyPlan, '--nvcc', toolkit, '--arch', 'sm_80,sm_90'];
/** Two KV heads of one query head. */
const rankPlan = scratchFile(
  'plan.json',
  JSON.stringify({
    format: 'moa-plan',
    version: 1,
    model: { layers: 1, queryHeads: 2, kvHeads: 2, headDim: 64, elementType: 'bf16' },
    alphas: [[0, 0]],
    betas: [[0.5, 0.5]],
  }),
);
const withRanks = [rankPlan, '--tp', '2', '--nvcc', toolkit, '--arch', 'sm_80'];

beforeAll(() => {
  const made = runMany([
    [...withCubins, '-o', at('package')],
    [...withRanks, '-o', at('ranks')],
    [tinyPlan, ...sourcesOnly, '-o', at('sources')],
    [...withCubins, '--emit=cubin', '-o', at('cubins')],
  ]);
  expect(made.map(({ status }) => status)).toEqual([0, 0, 0, 0]);
});

/** A copy of a package, changed. */
function changed(name: string, change: (path: (name: string) => string) => void): string {
  const copy = join(scratchFolder(), 'copy');
  cpSync(at(name), copy, { recursive: true });
  change((path) => join(copy, path));
  return copy;
}

/**
 * Writes a file of the package and its hash into the manifest, as one would who damages on purpose.
 */
function rewrite(path: (name: string) => string, name: string, content: Buffer | string): void {
  writeFileSync(path(name), content);
  const manifest = JSON.parse(readFileSync(path('manifest.json'), 'utf8')) as {
    files: Record<string, object>;
  };
  manifest.files[name] = { bytes: Buffer.from(content).length, sha256: sha256(content) };
  writeFileSync(path('manifest.json'), stableJson(manifest));
}

/** The errors of a result, as code and message without the folder. */
const errorsOf = ({ stderr }: RunResult, copy: string): readonly string[] =>
  stderr
    .replaceAll(copy, 'DIR')
    .split('\n')
    .filter((line) => line.startsWith('error '))
    .map((line) => line.slice('error '.length));

test('whole packages: 0, and what was looked at', () => {
  const elsewhere = join(scratchFolder(), 'elsewhere');
  cpSync(at('package'), elsewhere, { recursive: true });
  const [whole, ranks, sources, cubins, quiet, json, moved] = runMany(
    [
      ['verify', at('package')],
      ['verify', at('ranks')],
      ['verify', `${at('sources')}/`],
      ['verify', at('cubins')],
      ['verify', at('package'), '-q'],
      ['verify', at('ranks'), '--json'],
      ['verify', elsewhere],
    ],
    { variables: { PATH: '/nowhere' } },
  );
  expect(whole).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(
      /package is whole: \d+ files, 3 images of machine code, 1 definition\n$/,
    ),
    stderr: '',
  });
  expect(ranks).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(
      /ranks is whole: 2 ranks, \d+ files, 2 images of machine code, 2 definitions\n$/,
    ),
    stderr: '',
  });
  expect(sources).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('0 images of machine code, 1 definition'),
    stderr: '',
  });
  expect(cubins).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('3 images of machine code, 1 definition'),
    stderr: '',
  });
  expect(quiet).toEqual({ status: 0, stdout: '', stderr: '' });
  expect(JSON.parse(json!.stdout)).toMatchObject({
    package: at('ranks'),
    result: 'whole',
    problems: [],
    images: 2,
    definitions: 2,
    ranks: 2,
  });
  expect(moved).toMatchObject({ status: 0 });
});

const kernel = (path: (name: string) => string): string =>
  (JSON.parse(readFileSync(path('manifest.json'), 'utf8')) as { kernels: { name: string }[] })
    .kernels[0]!.name;
const damages: readonly (readonly [
  string,
  string,
  (path: (name: string) => string) => void,
  readonly RegExp[],
])[] = [
  [
    'a cubin deleted',
    'package',
    (path) => rmSync(path('cubin/sm_80.cubin')),
    [/^MOA5011: cubin\/sm_80\.cubin of the package DIR is missing$/],
  ],
  [
    'a cubin cut off',
    'package',
    (path) => truncateSync(path('cubin/sm_90.cubin'), 100),
    [/^MOA5011: cubin\/sm_90\.cubin .* has 100 bytes, but was written with \d+$/],
  ],
  [
    'one byte of a fatbin',
    'package',
    (path) => flip(path('cubin/all.fatbin')),
    [/^MOA5011: cubin\/all\.fatbin .* has been changed$/],
  ],
  [
    'a cubin cut off before it was hashed',
    'package',
    (path) =>
      rewrite(path, 'cubin/sm_80.cubin', readFileSync(path('cubin/sm_80.cubin')).subarray(0, 150)),
    [
      /^MOA5015: cubin\/sm_80\.cubin of the package DIR: the machine code is damaged: it is cut off/,
    ],
  ],
  [
    'a cubin of another plan, hashed',
    'cubins',
    (path) => {
      const cubin = readFileSync(path('cubin/sm_80.cubin'), 'latin1').replaceAll(
        'append',
        'APPEND',
      );
      rewrite(path, 'cubin/sm_80.cubin', Buffer.from(cubin, 'latin1'));
    },
    [
      /^MOA5015: cubin\/all\.fatbin .* it does not hold cubin\/sm_80\.cubin$/,
      /^MOA5015: cubin\/sm_80\.cubin .* it has no kernel moa_append/,
    ],
  ],
  [
    'a fatbin with another size in its header',
    'package',
    (path) =>
      rewrite(path, 'cubin/all.fatbin', readFileSync(path('cubin/all.fatbin')).subarray(0, 200)),
    [/^MOA5015: cubin\/all\.fatbin .* its header names \d+$/],
  ],
  [
    'text as a cubin',
    'package',
    (path) => rewrite(path, 'cubin/sm_90.cubin', 'x'.repeat(500)),
    [/all\.fatbin/, /^MOA5015: cubin\/sm_90\.cubin .* it is not an ELF file$/],
  ],
  [
    'a source changed',
    'package',
    (path) => appendFileSync(path(`kernels/${kernel(path)}.cu`), '//'),
    [/^MOA5011: kernels\/moa_\w+\.cu /],
  ],
  [
    'a file too many',
    'package',
    (path) => writeFileSync(path('cubin/sm_86.cubin'), ''),
    [/^MOA5011: cubin\/sm_86\.cubin in the package DIR was not written by moa-compile$/],
  ],
  [
    'a file too many whose name is no name',
    'package',
    (path) => writeFileSync(path('a\nb'), ''),
    [/^MOA5011: "a\\nb" in the package/],
  ],
  [
    'a link in the place of a file',
    'package',
    (path) => (
      renameSync(path('index.js'), path('../index.js')),
      symlinkSync('../index.js', path('index.js'))
    ),
    [/^MOA5011: index\.js of the package DIR is no regular file$/],
  ],
  [
    'a folder in the place of a file',
    'package',
    (path) => (rmSync(path('module.ir')), mkdirSync(path('module.ir'))),
    [/^MOA5011: module\.ir of the package DIR is no regular file$/],
  ],
  [
    'two files',
    'package',
    (path) => (rmSync(path('index.js')), rmSync(path('module.ir'))),
    [/index\.js.*missing/, /module\.ir.*missing/],
  ],
  [
    'a definition that cannot be read',
    'package',
    (path) =>
      rewrite(
        path,
        'definition.json',
        readFileSync(path('definition.json'), 'utf8').replace('"shape": {', '"shape": ('),
      ),
    [/^MOA5016: definition\.json of the package DIR: .* it is not JSON$/],
  ],
  [
    'a definition of another format',
    'package',
    (path) =>
      rewrite(
        path,
        'definition.json',
        readFileSync(path('definition.json'), 'utf8').replace(/"format": \d+/, '"format": 1'),
      ),
    [/^MOA5016: .* its definition has format 1; this version of moa-compile reads format \d+$/],
  ],
  [
    'a definition that names no cubin',
    'package',
    (path) =>
      rewrite(
        path,
        'definition.json',
        readFileSync(path('definition.json'), 'utf8').replace(
          '"cubin/sm_80.cubin"',
          '"cubin/sm_80a.cubin"',
        ),
      ),
    [/^MOA5016: .* it names cubin\/sm_80a\.cubin, which the package does not have$/],
  ],
  [
    'no manifest',
    'package',
    (path) => rmSync(path('manifest.json')),
    [/^MOA5010: DIR is not a package of moa-compile: manifest\.json is missing$/],
  ],
  [
    'a damaged manifest',
    'package',
    (path) => truncateSync(path('manifest.json'), 300),
    [/^MOA5010: .* is not of the format/],
  ],
  [
    'a file of a rank',
    'ranks',
    (path) => rmSync(path('rank1/cubin/sm_80.cubin')),
    [/^MOA5011: rank1\/cubin\/sm_80\.cubin .* is missing$/],
  ],
  [
    'the table of ranks',
    'ranks',
    (path) => rewrite(path, 'tensor-parallel.json', '{}'),
    [/^MOA5016: tensor-parallel\.json /],
  ],
  [
    'ranks exchanged',
    'ranks',
    (path) => {
      renameSync(path('rank0'), path('rank2'));
      renameSync(path('rank1'), path('rank0'));
      renameSync(path('rank2'), path('rank1'));
    },
    ['rank0', 'rank1'].flatMap((rank) =>
      ['definition\\.json', 'index\\.d\\.ts', 'index\\.js', 'manifest\\.json', 'package\\.json'].map(
        (name) => new RegExp(`^MOA5011: ${rank}/${name} .* has been changed$`),
      ),
    ),
  ],
];

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(path, bytes);
}

describe('damage: 1, and a numbered error for each file', () => {
  test.each(damages)('%s', (_, name, damage, expected) => {
    const copy = changed(name, damage);
    const [result, json] = runMany([
      ['verify', copy],
      ['verify', copy, '--json', '-q'],
    ]);
    const errors = errorsOf(result!, copy);
    expect(errors, result!.stderr).toHaveLength(expected.length);
    expected.forEach((pattern, index) => expect(errors[index]).toMatch(pattern));
    expect(result).toMatchObject({ status: 1, stdout: '' });
    const value = JSON.parse(json!.stdout) as { result: string; problems: unknown[] };
    expect({ status: json!.status, result: value.result, problems: value.problems.length }).toEqual(
      { status: 1, result: 'damaged', problems: expected.length },
    );
  });

  test.each([
    ['no such folder', '/nowhere/package'],
    ['a file', tinyPlan],
    ['another folder', folder],
  ])('%s', (_, path) => {
    expect(run(['verify', path])).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringMatching(/^error MOA5010: .* is not a package of moa-compile: /),
    });
  });

  test('nothing of the package is run', () => {
    const mark = join(scratchFolder(), 'ran');
    const copy = changed('package', (path) =>
      rewrite(
        path,
        'index.js',
        `import { writeFileSync } from 'node:fs';\nwriteFileSync('${mark}', '');\n${readFileSync(path('index.js'), 'utf8')}`,
      ),
    );
    expect(run(['verify', copy])).toMatchObject({ status: 0 });
    expect(existsSync(mark)).toBe(false);
  });
});

describe('--check', () => {
  const check = (copy: string, ...more: string[]): readonly string[] => [
    ...withCubins,
    '--check',
    '-o',
    copy,
    ...more,
  ];

  test('says which machine code it does not compare; not with -q, and not where there is none', () => {
    const [current, json, quiet, sources] = runMany([
      check(at('package')),
      check(at('package'), '--json'),
      check(at('package'), '-q'),
      [tinyPlan, ...sourcesOnly, '--check', '-o', at('sources')],
    ]);
    expect(current).toMatchObject({
      status: 0,
      stdout: `${at('package')} is current\n`,
      stderr: expect.stringMatching(
        /^note MOA2004: machine code is not compared with what nvcc would make: cubin\/all\.fatbin, cubin\/sm_80\.cubin, cubin\/sm_90\.cubin; it is whole/,
      ),
    });
    expect(JSON.parse(json!.stdout)).toEqual({
      output: at('package'),
      result: 'current',
      differences: [],
      notCompared: ['cubin/all.fatbin', 'cubin/sm_80.cubin', 'cubin/sm_90.cubin'],
    });
    expect(quiet).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(sources).toEqual({ status: 0, stdout: `${at('sources')} is current\n`, stderr: '' });
  });

  test.each([
    [
      'deleted',
      (path: (name: string) => string) => rmSync(path('cubin/sm_80.cubin')),
      'cubin/sm_80.cubin',
      'missing',
    ],
    [
      'cut off',
      (path: (name: string) => string) => truncateSync(path('cubin/sm_90.cubin'), 64),
      'cubin/sm_90.cubin',
      'changed',
    ],
    [
      'changed',
      (path: (name: string) => string) => flip(path('cubin/all.fatbin')),
      'cubin/all.fatbin',
      'changed',
    ],
    [
      'too many',
      (path: (name: string) => string) => writeFileSync(path('cubin/sm_86.cubin'), ''),
      'cubin/sm_86.cubin',
      'extra',
    ],
    [
      'gone, with all its kind',
      (path: (name: string) => string) => rmSync(path('cubin'), { recursive: true }),
      'cubin/sm_80.cubin',
      'missing',
    ],
  ])('machine code that is %s', (_, damage, path, kind) => {
    const copy = changed('package', damage);
    const [result, withoutNvcc, json] = runMany([
      check(copy),
      check(copy, '--nvcc', '/nowhere'),
      check(copy, '--json'),
    ]);
    for (const { status, stderr } of [result!, withoutNvcc!])
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: expect.stringContaining(`${copy}/${path}: error MOA2003: ${kind}\n`),
      });
    expect(JSON.parse(json!.stdout)).toMatchObject({
      result: 'different',
      differences: expect.arrayContaining([{ path, kind }]),
    });
  });

  test('machine code of a rank', () => {
    const copy = changed('ranks', (path) => rmSync(path('rank1/cubin/sm_80.cubin')));
    expect(run([...withRanks, '--check', '-o', copy])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`${copy}/rank1/cubin/sm_80.cubin: error MOA2003: missing\n`),
    });
  });

  test('an architecture more than the package has', () => {
    expect(run([...withCubins, '--arch', 'sm_86', '--check', '-o', at('package')])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('/cubin/sm_86.cubin: error MOA2003: missing'),
    });
  });
});
