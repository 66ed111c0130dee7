/**
 * A reporter for vitest, beside its own: appends each result to the file that MOA_TEST_RESULTS names (see testResults.mjs) as it
 * comes, and prints the counts so far after each test file. Without the variable it does neither.
 */
import { appendFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

const messages = (errors) => (errors ?? []).map(({ name, message }) => `${name ?? 'Error'}: ${message}`);

export class TestReporter {
  #path = process.env.MOA_TEST_RESULTS;
  #start = performance.now();
  #files = 0;
  #ended = 0;
  #counts = { passed: 0, failed: 0, skipped: 0 };

  #write(entry) {
    if (this.#path !== undefined) appendFileSync(this.#path, `${JSON.stringify(entry)}\n`);
  }

  onTestRunStart(specifications) {
    this.#files = specifications.length;
    this.#write({ run: this.#files });
  }

  onTestModuleQueued({ relativeModuleId: begin }) {
    this.#write({ begin });
  }

  onTestCaseResult(test) {
    const { state, errors } = test.result();
    this.#counts[state] += 1;
    const ms = Math.round(test.diagnostic()?.duration ?? 0);
    this.#write({ test: test.fullName, file: test.module.relativeModuleId, state, ms, errors: messages(errors) });
  }

  onTestModuleEnd(module) {
    // A hook of a group that fails leaves its tests skipped.
    const suites = [...module.children.allSuites()].flatMap((suite) => suite.errors());
    const { collectDuration, duration, setupDuration, prepareDuration } = module.diagnostic();
    const ms = Math.round(collectDuration + duration + setupDuration + prepareDuration);
    this.#write({ end: module.relativeModuleId, state: module.state(), ms, errors: messages([...module.errors(), ...suites]) });
    this.#ended += 1;
    if (this.#path === undefined) return;
    const seconds = ((performance.now() - this.#start) / 1000).toFixed(0);
    console.log(`${this.#ended} of ${this.#files} files, ${seconds} s: ${this.#counts.passed} passed, ${this.#counts.failed} failed`);
  }

  onTestRunEnd(_, errors, over) {
    for (const error of messages(errors)) this.#write({ error });
    this.#write({ over });
  }
}
