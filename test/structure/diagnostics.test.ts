/** docs/diagnostics.md lists every code of the compiled sources, and no other. Needs dist/, which `npm test` builds. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

test('docs/diagnostics.md is current', () => {
  const script = fileURLToPath(new URL('../../scripts/diagnostics.mjs', import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' });
  expect(`${stdout}${stderr}`.trim()).not.toMatch(/error/i);
  expect(status).toBe(0);
});
