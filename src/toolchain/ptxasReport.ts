/** What `ptxas -v` says about one function. Bytes unless it says otherwise. */
export interface FunctionReport {
  readonly name: string;
  /** Per thread. Undefined for a function that is not a kernel. */
  readonly registers?: number;
  readonly barriers?: number;
  /** Static shared memory. */
  readonly sharedBytes: number;
  readonly stackBytes: number;
  readonly spillStoreBytes: number;
  readonly spillLoadBytes: number;
}

export interface PtxasReport {
  /** By name. */
  readonly functions: readonly FunctionReport[];
  /** Lines that are no plain information, as `ptxas warning : ...` and `(C7510) Potential Performance Loss`. */
  readonly remarks: readonly string[];
}

/** Reads the output of `ptxas -v`. Times are left out: the report is the same for the same source. */
export function parsePtxasReport(text: string): PtxasReport {
  const functions = new Map<string, FunctionReport>();
  const remarks: string[] = [];
  let current: string | undefined;
  const update = (name: string, fields: Partial<FunctionReport>): void => {
    const known = functions.get(name) ?? { name, sharedBytes: 0, stackBytes: 0, spillStoreBytes: 0, spillLoadBytes: 0 };
    functions.set(name, { ...known, ...fields });
  };
  for (const line of text.split('\n')) {
    const entry = /Compiling entry function '([^']+)'/.exec(line) ?? /Function properties for '?([^\s']+)'?/.exec(line);
    if (entry?.[1] !== undefined) current = entry[1];
    if (/\bptxas\b.*\b(warning|error|fatal)\b|\(C7\d{3}\)/.test(line)) remarks.push(line.trim());
    if (current === undefined) continue;
    const stack = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (stack !== null) update(current, { stackBytes: Number(stack[1]), spillStoreBytes: Number(stack[2]), spillLoadBytes: Number(stack[3]) });
    const used = /Used (\d+) registers(?:, used (\d+) barriers)?/.exec(line);
    if (used !== null) update(current, { registers: Number(used[1]), barriers: Number(used[2] ?? 0), sharedBytes: Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0) });
  }
  return { functions: [...functions.values()].sort((a, b) => (a.name < b.name ? -1 : 1)), remarks: [...new Set(remarks)].sort() };
}
