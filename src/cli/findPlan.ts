import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CONFIG_FILE, SCORES_FILE, type InputFormat } from '../plan/formats/inputFormat.ts';
import type { DiagnosticList } from '../util/diagnostics.ts';

/** The files of an input. */
export interface PlanFiles {
  readonly path: string;
  /** What stands beside it and belongs to it. */
  readonly beside?: string;
}

/**
 * The file of a plan: the path itself, or in a folder the scores of DuoAttention, else `config.json`. The config beside scores belongs to
 * them. Reports a folder with neither (MOA1003).
 */
export function findPlan(path: string, format: InputFormat | undefined, diagnostics: DiagnosticList): PlanFiles | undefined {
  if (!isFolder(path)) return path.endsWith('.tsv') || format === 'duo-attention' ? withConfig(path) : { path };
  const scores = join(path, SCORES_FILE);
  if (existsSync(scores)) return withConfig(scores);
  const config = join(path, CONFIG_FILE);
  if (existsSync(config)) return { path: config };
  const help = 'give the file of the plan';
  diagnostics.add({ code: 'MOA1003', severity: 'error', message: `this is a folder without ${SCORES_FILE} and ${CONFIG_FILE}`, help, location: { file: path, line: 1, column: 1 } });
  return undefined;
}

/** The paths that a plan may be read from, for an output that must not replace them. */
export function inputFiles(path: string): readonly string[] {
  if (path === '-') return [];
  return isFolder(path) ? [SCORES_FILE, CONFIG_FILE].map((name) => join(path, name)) : [path];
}

/** False for what cannot be looked at: reading it says why. */
export function isFolder(path: string): boolean {
  if (path === '-') return false;
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function withConfig(path: string): PlanFiles {
  const config = join(dirname(path), CONFIG_FILE);
  return path !== '-' && config !== path && existsSync(config) ? { path, beside: config } : { path };
}
