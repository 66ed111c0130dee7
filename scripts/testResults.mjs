/**
 * The results of a test run, one JSON object a line, written as each test ends: a run that is cut off leaves what it had. Lines are
 *
 *     {"run": COUNT}                                       so many files will run
 *     {"begin": FILE}                                      a file is loaded
 *     {"test": NAME, "file": FILE, "state": STATE, "ms": MS, "errors": [...]}
 *     {"end": FILE, "state": STATE, "ms": MS, "errors": [...]}   errors outside its tests
 *     {"error": MESSAGE}                                   outside every file
 *     {"over": REASON}                                     vitest came to its end
 *
 * STATE is passed, failed or skipped.
 */
import { readFileSync } from 'node:fs';

/** @typedef {{ file: string, begun: boolean, ended: boolean, failed: boolean, ms: number, errors: string[], tests: object[] }} FileResults */

/** What was written to `path` up to now. A last line that is cut off is left out; a file that does not exist holds nothing. */
export function readResults(path) {
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  const files = new Map();
  const fileOf = (file) => {
    if (!files.has(file)) files.set(file, { file, begun: false, ended: false, failed: false, ms: 0, errors: [], tests: [] });
    return files.get(file);
  };
  const results = { expected: 0, over: false, errors: [], files };
  for (const line of text.split('\n')) {
    const entry = parse(line);
    if (entry === undefined) continue;
    if (entry.run !== undefined) results.expected += entry.run;
    if (entry.begin !== undefined) fileOf(entry.begin).begun = true;
    if (entry.test !== undefined) fileOf(entry.file).tests.push(entry);
    if (entry.error !== undefined) results.errors.push(entry.error);
    if (entry.over !== undefined) results.over = true;
    if (entry.end !== undefined) {
      const { state, ms, errors } = entry;
      Object.assign(fileOf(entry.end), { ended: true, failed: state === 'failed', ms, errors: errors ?? [] });
    }
  }
  return results;
}

function parse(line) {
  if (line === '') return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/**
 * Counts and named failures. A file that could not be loaded, or was still running when the run ended, counts as one failure.
 * @param ended how the command ended, as a sentence, when not with exit code 0; undefined otherwise
 * @returns {{ passed: number, skipped: number, failures: string[] }}
 */
export function summarise(results, ended) {
  const failures = [];
  let passed = 0;
  let skipped = 0;
  for (const { file, begun, ended: fileEnded, failed, errors, tests } of results.files.values()) {
    const failedTests = tests.filter(({ state }) => state === 'failed');
    passed += tests.filter(({ state }) => state === 'passed').length;
    skipped += tests.filter(({ state }) => state === 'skipped').length;
    for (const { test, errors: reasons } of failedTests) failures.push(named(`${file} > ${test}`, reasons));
    if (failed && failedTests.length === 0) failures.push(named(`${file} could not run`, errors));
    if (begun && !fileEnded) failures.push(`${file} was still running, after ${tests.length} tests`);
  }
  for (const error of results.errors) failures.push(named('error outside the tests', [error]));
  if (ended !== undefined && (failures.length === 0 || !results.over)) failures.push(ended);
  return { passed, skipped, failures };
}

const named = (name, errors = []) => (errors.length === 0 ? name : `${name}: ${errors[0].split('\n')[0].slice(0, 300)}`);
