/**
 * Writes python/moa_compile/search/known_models.json, the table of src/plan/config that the Python profiler reads, from the compiled sources.
 *
 *     node scripts/setup.mjs && node scripts/knownModels.mjs [--check]
 *
 * With --check nothing is written; exit code 1 says that the file is not current.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { knownModels } from '../dist/plan/config/knownModels.js';
import { stableJson } from '../dist/util/stableJson.js';

const path = fileURLToPath(new URL('../python/moa_compile/search/known_models.json', import.meta.url));
const text = stableJson(knownModels());

if (!process.argv.includes('--check')) writeFileSync(path, text);
else if (readFileSync(path, 'utf8') !== text) {
  process.stderr.write('python/moa_compile/search/known_models.json is not current: run node scripts/knownModels.mjs\n');
  process.exitCode = 1;
}
