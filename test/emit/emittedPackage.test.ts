import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compile } from '../../src/compile.ts';
import { compilePackage } from '../../src/compilePackage.ts';
import { planDefinition } from '../../src/emit/planDefinition.ts';
import { printJson } from '../../src/emit/printJson.ts';
import { fileBytes, type PackageManifest } from '../../src/emit/package.ts';
import { readManifest, verifyPackage } from '../../src/emit/verifyPackage.ts';
import { writePackage } from '../../src/emit/writePackage.ts';
import type { BufferSet } from '../../src/ir/planDefinition.ts';
import { plannerEntries } from '../../src/kernels/planners.ts';
import { variableMeanings } from '../../src/kernels/variables.ts';
import { sinkWindow } from '../../src/mask/sinkWindow.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import { installed } from '../cli/installed.ts';
import { compileText, planText, targetsOf } from '../compile/support.ts';
import { scratchFolder } from '../toolchain/helpers.ts';

const emit = new Set(['ir', 'cuda', 'ts'] as const);
const { targets, architectures } = targetsOf('sm_80', 'sm_90');

test('no string of the user is in any file, whatever carried it', async () => {
  const marker = 'Zq9Marker';
  const hostile = `${marker} */ #include "/etc/hostname" \\\n ${'${'}process.exit()}`;
  const plan = JSON.parse(planText({ layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64, mixed: true, name: marker })) as Record<string, unknown>;
  const planBytes = JSON.stringify({ ...plan, certificate: { note: hostile, [marker]: 1 }, evidence: { by: hostile } });
  const config = JSON.stringify({ _name_or_path: hostile, architectures: [marker], model_type: marker, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64, torch_dtype: 'bfloat16' });
  const diagnostics = new DiagnosticList();
  const compiled = compile({ text: planBytes, file: `/home/${marker}/plan.json` }, { text: config, file: `${marker}.json` }, { architectures, model: { assumePlain: true } }, diagnostics);
  expect(diagnostics.errorCount).toBe(0);
  const { files } = await compilePackage(compiled!, { emit, targets, planText: planBytes, version: '1.2.3' });
  for (const [path, content] of files.files) {
    expect(path).not.toContain(marker);
    expect(Buffer.from(fileBytes(content)).toString('latin1'), path).not.toMatch(/Zq9Marker|\/etc|process\.exit/);
  }
});

const text = planText({ layers: 3, queryHeads: 8, kvHeads: 2, headDim: 128, mixed: true });
const compiled = compileText(text, { architectures });
const written = join(scratchFolder(), 'model');
const built = await compilePackage(compiled, { emit, targets, planText: text, version: '1.2.3' });
await writePackage(built.files, written);

test('the manifest lists the SHA-256 and size of every file, and says what was compiled', () => {
  const manifest = readManifest(written) as PackageManifest & Record<string, unknown>;
  const listed = Object.entries(manifest.files);
  expect(listed.map(([path]) => path)).toEqual([...built.files.files.keys()].filter((path) => path !== 'manifest.json'));
  for (const [path, { bytes, sha256 }] of listed) {
    const content = readFileSync(join(written, path));
    expect({ bytes, sha256 }, path).toEqual({ bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') });
  }
  expect(verifyPackage(written)).toEqual([]);
  expect(manifest).toMatchObject({
    compiler: 'moa-compile 1.2.3',
    architectures: ['sm_80', 'sm_90'],
    elementTypes: ['bf16', 'fp16'],
    plan: { sha256: createHash('sha256').update(text).digest('hex'), layers: 3, queryHeads: 8, kvHeads: 2, headDim: 128, sink: 64, page: 64, minSpan: 128 },
  });
  expect(manifest['kernels']).toHaveLength(compiled.module.kernels.length + plannerEntries.length);
  const { kernels, planners } = planDefinition(compiled.module, sinkWindow, {});
  for (const { source, sha256 } of [...kernels, ...Object.values(planners)]) {
    expect(sha256, source).toBe(manifest.files[source]!.sha256);
  }
});

test.each(['module', 'commonjs'])('index.js is a module with the definition and load, in a project of type %s', (type) => {
  const project = scratchFolder();
  cpSync(written, join(project, 'model'), { recursive: true });
  writeFileSync(join(project, 'package.json'), JSON.stringify({ type }));
  mkdirSync(join(project, 'node_modules'));
  symlinkSync(installed(), join(project, 'node_modules', 'moa-compile'));
  writeFileSync(join(project, 'main.js'), `import('./model/index.js').then(({ definition, load, ...others }) => console.log(JSON.stringify({ definition, load: typeof load, others: Object.keys(others) })));`);
  const printed = execFileSync(process.execPath, ['main.js'], { cwd: project, encoding: 'utf8' });
  expect(JSON.parse(printed)).toEqual({ definition: planDefinition(compiled.module, sinkWindow, {}), load: 'function', others: [] });
});

test('definition.json is that definition; docs/package-format.md names what is in it', () => {
  const definition = planDefinition(compiled.module, sinkWindow, {});
  expect(JSON.parse(readFileSync(join(written, 'definition.json'), 'utf8'))).toEqual(definition);
  const page = readFileSync(new URL('../../docs/package-format.md', import.meta.url), 'utf8');
  for (const key of Object.keys(definition)) expect(page, key).toContain(`\`${key}\``);
  for (const [name, meaning] of Object.entries(variableMeanings)) {
    expect(page).toContain(`| \`${name}\` | ${meaning} |`);
  }
  const sets: readonly BufferSet[] = Object.values(definition.buffers);
  const buffers = sets.flatMap((set) => Object.entries(set.buffers));
  for (const [name, { initial }] of buffers) {
    if (initial.kind === 'host') expect(page, name).toMatch(new RegExp(`^\\| [^|]*\`${name}\`[^|]* \\|`, 'm'));
  }
  for (const { role, variant, params, architectures: of } of definition.kernels) {
    expect(page).toMatch(new RegExp(`^\\| \`${role}\` \\| [^|]*\`${variant}\`[^|]* \\|`, 'm'));
    expect(definition.params[params]!.bytes).toBeGreaterThan(0);
    expect(of).not.toEqual([]);
  }
});

test('cubins are named where they are, and only where there are some', () => {
  const cubins = { sm_80: 'cubin/sm_80.cubin' };
  const { definition, files } = compiled.runtime(cubins);
  expect(definition.cubins).toEqual(cubins);
  expect(files.get('index.d.ts')).toContain("export type ElementType = 'bf16' | 'fp16';");
});

test('data as JSON means what it says, and breaks lines like a person', () => {
  const value = { a: 1, 'b-c': [true, null, 'it\'s "x"\n\\'], d: {}, e: [], f: [{ g: -1.5e-7 }, { h: [[1], [2]] }], i: 'x'.repeat(120) };
  const printed = printJson(value);
  expect(JSON.parse(printed)).toEqual(value);
  expect(printed).toBe(
    ['{', '  "a": 1,', '  "b-c": [true, null, "it\'s \\"x\\"\\n\\\\"],', '  "d": {},', '  "e": [],', '  "f": [{ "g": -1.5e-7 }, { "h": [[1], [2]] }],', `  "i": "${'x'.repeat(120)}"`, '}'].join('\n'),
  );
  expect(() => printJson({ a: Infinity })).toThrow(/internal error/);
});
