/** Runs the one case in `MOA_CASE`: the line that a failure prints. */
import { test } from 'vitest';
import type { Case } from './case.ts';
import { emulatorTarget } from './harness.ts';
import { runCase } from './runCase.ts';

const text = process.env['MOA_CASE'];

test.skipIf(text === undefined)('the case in MOA_CASE', { timeout: 600_000 }, async () => {
  console.log(await runCase(emulatorTarget(), JSON.parse(text!) as Case));
});
