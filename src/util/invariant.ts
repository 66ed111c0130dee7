/** Throws when a fact the compiler itself must keep does not hold: a bug in moa-compile, never the user's fault. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`internal error: ${message}`);
}

/** Ends a switch over a union; `tsc` rejects it when a case is missing. */
export function assertNever(value: never): never {
  throw new Error(`internal error: unexpected ${JSON.stringify(value)}`);
}
