/** Pythons that do what a test says, and the command lines of searches that call them. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { syntheticProfile } from '../search/support.ts';
import { scratchFolder } from './support.ts';

/** Where a test file keeps its Pythons, their model and its data: a folder of its own, since files that share a process would take each other's. */
export interface FakePythons {
  readonly root: string;
  readonly model: string;
  readonly data: string;
  readonly otherData: string;
  /** A Python that notes which command it is called with, and then does what `script` says: $1 to $3 are `-m moa_compile COMMAND`. */
  readonly fakePython: (name: string, script: string) => string;
  /** The commands that Pythons were called with since the last time. */
  readonly calls: () => string[];
  /** The command line of a search that writes `plan` and calls `python`. */
  readonly search: (plan: string, python: string, ...more: readonly string[]) => string[];
}

export function fakePythons(): FakePythons {
  const root = scratchFolder();
  const [model, data, otherData] = ['model', 'data.jsonl', 'other.jsonl'].map((name) => join(root, name)) as [string, string, string];
  const [log, bin] = [join(root, 'calls'), join(root, 'bin')];
  mkdirSync(model);
  mkdirSync(bin);
  writeFileSync(join(model, 'config.json'), '{}');
  writeFileSync(data, '{}\n');
  return {
    root,
    model,
    data,
    otherData,
    fakePython: (name, script) => {
      const path = join(bin, name);
      writeFileSync(path, `#!/bin/sh\necho "$3" >> '${log}'\n${script}\n`, { mode: 0o755 });
      return path;
    },
    calls: () => {
      const found = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
      rmSync(log, { force: true });
      return found;
    },
    search: (plan, python, ...more) => [
      'search', '-o', plan, '--model', model, '--data', data, '--lengths', '128,192', '--density', '0.8@192,0.7@256', '--device', 'cpu', '--python', python, ...more,
    ],
  };
}

const canned = '{"python": "3.12.0", "torch": "2.0.0", "transformers": "5.0.0", "safetensors": "0.5.0", "cuda": false, "device": "cpu"}';

/** What a script does for `check`, and for the other commands. */
export const answers = (check: string, others: string): string => `if [ "$3" = check ]; then ${check}; fi\n${others}`;
export const passes = `echo '${canned}'; exit 0`;

/** A script that passes `check`, and does this for `profile` and for `validate`, with the file to write in `$out`. */
export const stages = (profile: string, validate: string): string =>
  answers(passes, `out=; for word; do [ "$out" = next ] && out="$word" && break; [ "$word" = --output ] && out=next; done\nif [ "$3" = profile ]; then ${profile}; else ${validate}; fi\nexit 0`);

/** Writes a profile of 128 and 192 tokens. */
export const makesProfile = `cp '${syntheticProfile({ layers: 2, queryHeads: 4, kvHeads: 2, lengths: [128, 192], seed: 1 }).path}' "$out"`;

/** Writes an answer with these plans, for 256 tokens. */
export const answersWith = (plans: readonly object[]): string =>
  `echo '${JSON.stringify({ format: 'moa-validation', version: 1, length: 256, samples: 1, answerTokens: 1, dense: { loss: 1, accuracy: 1 }, plans })}' > "$out"`;
export const answersOne = answersWith([{ id: '0', loss: 1, accuracy: 1 }]);
