/** Operations of a step of an expression, in the order of `moa::SpanOp` (templates/include/moa/plan/windows.cuh). */
export const spanOps = [
  'constant',
  'bound',
  'span',
  'add',
  'subtract',
  'min',
  'max',
  'multiply',
  'divide',
  'roundUp',
] as const;
export type SpanOp = (typeof spanOps)[number];
