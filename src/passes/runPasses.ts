import { verifyModule } from '../ir/verify.ts';
import type { Module } from '../ir/nodes.ts';
import type { Pass, PassContext } from './pass.ts';

/** What a pass did, for `--print-ir-after` and timing. */
export interface PassEvent {
  readonly pass: string;
  readonly module: Module;
  readonly changed: boolean;
  readonly milliseconds: number;
}

/** Runs `passes` in order, verifies the module before the first and after each, and tells `observe`. Ends after `stopAfter`. */
export function runPasses(
  module: Module,
  passes: readonly Pass[],
  context: PassContext,
  observe: (event: PassEvent) => void = () => {},
  stopAfter?: string,
): Module {
  verifyModule(module);
  let current = module;
  for (const pass of passes) {
    const before = performance.now();
    const next = pass.run(current, context);
    verifyModule(next);
    observe({ pass: pass.name, module: next, changed: next !== current, milliseconds: performance.now() - before });
    current = next;
    if (pass.name === stopAfter) break;
  }
  return current;
}
