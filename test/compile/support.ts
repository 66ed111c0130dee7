import { findArchitecture } from '../../src/arch/registry.ts';
import type { Architecture } from '../../src/arch/arch.ts';
import { compile, type CompiledPlan, type CompileOptions } from '../../src/compile.ts';
import type { Target } from '../../src/toolchain/architectures.ts';
import { DiagnosticList, formatDiagnostic } from '../../src/util/diagnostics.ts';

export function targetsOf(...names: readonly string[]): { readonly targets: readonly Target[]; readonly architectures: readonly Architecture[] } {
  const architectures = names.map((name) => {
    const architecture = findArchitecture(name);
    if (architecture === undefined) throw new Error(`no architecture ${name}`);
    return architecture;
  });
  return { architectures, targets: names.map((name) => ({ name, ptx: false })) };
}

export interface PlanSpec {
  readonly layers?: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: 64 | 128 | 256;
  readonly sink?: number;
  /** In layer 0 query heads of a KV head differ in their rule; in the others never. */
  readonly mixed: boolean;
  readonly name?: string;
}

/** The text of a plan in our format. */
export function planText({ layers = 1, queryHeads, kvHeads, headDim, sink = 64, mixed, name = 'test' }: PlanSpec): string {
  const rows = (plain: number, other: number): number[][] =>
    Array.from({ length: layers }, (_, layer) => Array.from({ length: queryHeads }, (_head, head) => (mixed && layer === 0 && head % 2 === 1 ? other : plain)));
  return JSON.stringify({
    format: 'moa-plan',
    version: 1,
    model: { name, layers, queryHeads, kvHeads, headDim },
    sink,
    alphas: rows(0, 256),
    betas: rows(0.5, 0),
  });
}

/** Compiles `text`; throws what the compiler says against it. */
export function compileText(text: string, options: CompileOptions): CompiledPlan {
  const diagnostics = new DiagnosticList();
  const compiled = compile({ text, file: 'plan.json' }, undefined, options, diagnostics);
  if (compiled === undefined) throw new Error(diagnostics.toArray().map(formatDiagnostic).join('\n'));
  return compiled;
}
