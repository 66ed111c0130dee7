/** The only file that reads environment variables. */

/** 0 silent; 1 timing; 2 changed passes; 3 IR; 4 kernel source and nvcc line; 5 ptxas report. Each includes those before it. */
export type DebugLevel = 0 | 1 | 2 | 3 | 4 | 5;

/** What the environment says, with empty variables taken as unset. */
export interface Environment {
  /** `MOA_DEBUG`, 1 to 5. */
  readonly debugLevel: DebugLevel;
  /** `CUDA_HOME`, else `CUDA_PATH`: the root of a CUDA toolkit. */
  readonly cudaHome: string | undefined;
  /** `PATH`. */
  readonly path: string | undefined;
  /** `TORCH_CUDA_ARCH_LIST`: `8.0;9.0a`. */
  readonly torchCudaArchList: string | undefined;
  /** `NO_COLOR` (no-color.org). */
  readonly noColor: boolean;
  /** `XDG_CACHE_HOME`; ignored unless absolute, as its specification demands. */
  readonly xdgCacheHome: string | undefined;
  /** `HOME`. */
  readonly home: string | undefined;
  /** `CI`, unless `false` or `0`. */
  readonly ci: boolean;
  /** Not a variable: nvcc comes from `--nvcc`, `CUDA_HOME` or `PATH`. */
  readonly nvcc?: never;
}

/** Reads the environment as it is now. Never throws: a value without sense counts as unset. */
export function environment(variables: Readonly<Record<string, string | undefined>> = process.env): Environment {
  const read = (name: string): string | undefined => variables[name] || undefined;
  const cache = read('XDG_CACHE_HOME');
  const ci = read('CI');
  return {
    debugLevel: debugLevelOf(read('MOA_DEBUG')),
    cudaHome: read('CUDA_HOME') ?? read('CUDA_PATH'),
    path: read('PATH'),
    torchCudaArchList: read('TORCH_CUDA_ARCH_LIST'),
    noColor: read('NO_COLOR') !== undefined,
    xdgCacheHome: cache?.startsWith('/') === true ? cache : undefined,
    home: read('HOME'),
    ci: ci !== undefined && ci !== 'false' && ci !== '0',
  };
}

function debugLevelOf(text: string | undefined): DebugLevel {
  switch (text) {
    case '1':
      return 1;
    case '2':
      return 2;
    case '3':
      return 3;
    case '4':
      return 4;
    case '5':
      return 5;
    default:
      return 0;
  }
}

/** All variables, for child processes and for tools that are looked for in them. */
export function environmentVariables(): Readonly<Record<string, string | undefined>> {
  return process.env;
}
