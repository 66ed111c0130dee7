/** The compiler as a library: plan text to a package as a value, then to disk. The runtime is `moa-compile/runtime`. */
export { architectures, findArchitecture } from './arch/registry.ts';
export type { Architecture } from './arch/arch.ts';
export { compile, compileModule, readRank, type CompiledPlan, type CompileOptions } from './compile.ts';
export { compilePackage, compileRankPackages, type BuiltPackage, type EmitKind, type KernelUse, type PackageOptions, type Toolchain } from './compilePackage.ts';
export type { FileContent, PackageFiles } from './emit/package.ts';
export { writePackage, type WriteOptions, type WriteResult } from './emit/writePackage.ts';
export { inspectPlan, type LengthFigures, type PlanFigures, type RuleUse } from './inspect.ts';
export { inspectRanks, type RankBalance, type RankFigures } from './inspectRanks.ts';
export { assignRanks, balancedLengths, contiguousRanks, queryHeadsOf, type RankAssignment, type RankLayer } from './passes/assignRanks.ts';
export type { ElementType, ModelShape, ScheduledModule } from './ir/nodes.ts';
export type { PlanDefinition, RankDefinition } from './ir/planDefinition.ts';
export type { PassEvent } from './passes/runPasses.ts';
export { readPlan, type ReadPlan, type SourceText } from './plan/readPlan.ts';
export type { ModelFlags, ResolvedModel } from './plan/resolveModelShape.ts';
export { DiagnosticError, DiagnosticList, formatDiagnostic, type Diagnostic, type RelatedPlace, type Severity, type SourceLocation } from './util/diagnostics.ts';
export { version } from './version.ts';
export { sourceHash } from './emit/sourceHash.ts';
