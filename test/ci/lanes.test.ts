/** Which test files each lane runs, and that CI runs all of them. */
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { repositoryPath } from '../cli/installed.ts';

interface Project {
  readonly test: { readonly include: readonly string[]; readonly exclude: readonly string[]; readonly env: Readonly<Record<string, string>> };
}
interface Config {
  readonly test: { readonly projects: readonly [Project, Project] };
}

const { default: configOf } = (await import(repositoryPath('vitest.config.ts'))) as { readonly default: (of: { readonly mode: string }) => Config };
const files = readdirSync(repositoryPath('test'), { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.test.ts')).map((path) => `test/${path}`);
const durations = JSON.parse(readFileSync(repositoryPath('test/durations.json'), 'utf8')) as Readonly<Record<string, number>>;
const projectsOf = (mode: string): readonly [Project, Project] => configOf({ mode }).test.projects;
const leftOut = (mode: string): readonly string[] => {
  const { exclude } = projectsOf(mode)[0].test;
  return files.filter((file) => exclude.includes(file) || (exclude.includes('test/**/*.full.test.ts') && file.endsWith('.full.test.ts')));
};

describe('lanes', () => {
  test('full runs every file, with every random case', () => {
    expect(leftOut('full')).toEqual([]);
    expect(projectsOf('full')[0].test).toMatchObject({ exclude: ['test/gpu/**', '**/node_modules/**'], env: { MOA_TEST_LANE: 'full' } });
    // As Vitest itself sees it.
    const vitest = spawnSync(process.execPath, [repositoryPath('node_modules/vitest/vitest.mjs'), 'list', '--filesOnly', '--json', '--mode', 'full'], { cwd: repositoryPath('.'), encoding: 'utf8' });
    const listed = (JSON.parse(vitest.stdout) as { readonly file: string }[]).map(({ file }) => relative(repositoryPath('.'), file));
    expect(listed.sort()).toEqual([...files].filter((file) => !file.startsWith('test/gpu/')).sort());
  });

  test.each(['full', 'everyday', 'quick'])('%s: what one project runs the other leaves out, and nothing else', (mode) => {
    const [kernels, host] = projectsOf(mode);
    expect(host.test.include).toEqual(['test/**/*.test.ts']);
    expect(host.test.exclude).toEqual([...kernels.test.exclude, ...kernels.test.include]);
    expect(host.test.env).toEqual(kernels.test.env);
  });

  test('everyday, which is what no mode or another chooses, leaves out *.full.test.ts alone', () => {
    const full = files.filter((file) => file.endsWith('.full.test.ts'));
    expect(full.length).toBeGreaterThan(0);
    for (const mode of ['test', 'everyday']) expect(leftOut(mode)).toEqual(full);
    expect(projectsOf('test')[0].test.env).toEqual({ MOA_TEST_LANE: 'everyday' });
  });

  test('quick leaves out what takes over a second, and knows no file that is not measured', () => {
    const left = new Set(leftOut('quick'));
    for (const file of files) expect(left.has(file), file).toBe(file.endsWith('.full.test.ts') || (durations[file] ?? 0) > 1);
    expect(files.length - left.size).toBeGreaterThan(50);
  });

  test('.ci/run runs the full lane, which begins as npm test does', () => {
    const { scripts } = JSON.parse(readFileSync(repositoryPath('package.json'), 'utf8')) as { readonly scripts: Readonly<Record<string, string>> };
    expect(scripts).toMatchObject({ 'test:full': 'npm test -- --mode full', 'test:quick': 'vitest run --mode quick' });
    expect(readFileSync(repositoryPath('scripts/ci.mjs'), 'utf8')).toContain("spawn('npm', ['run', 'test:full',");
    expect(readFileSync(repositoryPath('.ci/run'), 'utf8')).not.toContain('timeout');
  });
});
