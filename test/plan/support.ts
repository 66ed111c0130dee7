import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DiagnosticList, formatDiagnostic } from '../../src/util/diagnostics.ts';

/** What `read` gives and what it reports, as text and as codes. */
export function collect<T>(read: (diagnostics: DiagnosticList) => T) {
  const diagnostics = new DiagnosticList();
  const value = read(diagnostics);
  const all = diagnostics.toArray();
  return { value, text: all.map(formatDiagnostic).join('\n'), codes: all.map(({ code }) => code), errors: diagnostics.errorCount };
}

const root = new URL('../../', import.meta.url);

/** The content of a file of the repository. */
export const readRepositoryFile = (path: string): Buffer => readFileSync(new URL(path, root));

const publishedPlans = fileURLToPath(new URL('../shared/plans/', root));

/** Of the published plans those whose model has its config under `examples/`. */
export const publishedFor = [
  ['llama-3-8b', 'gradientai--Llama-3-8B-Instruct-262k.json'],
  ['llama-3.2-1b', 'meta-llama--Llama-3.2-1B-Instruct.json'],
  ['vicuna-7b', 'lmsys--vicuna-7b-v1.5-16k.json'],
] as const;

/** The plans that the MoA authors published, by file name; they are not part of the repository and may be missing. */
export function listPublishedPlans(): ReadonlyMap<string, Buffer> {
  if (!existsSync(publishedPlans)) {
    console.warn('SKIPPED: tests on the published plans; put the plan files into ../shared/plans to run them');
    return new Map();
  }
  const names = readdirSync(publishedPlans).filter((name) => name.endsWith('.json'));
  return new Map(names.map((name) => [name, readFileSync(`${publishedPlans}/${name}`)]));
}
