import { readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { withoutSuffix } from '../arch/spelling.ts';
import { sha256 } from '../emit/package.ts';
import type { Diagnostic } from '../util/diagnostics.ts';
import { compilerEnvironment, droppedFlagsWarning, type Variables } from './compilerEnvironment.ts';
import { fileIdentity, isExecutable, pathCandidates } from './findProgram.ts';
import { runProcess } from './runProcess.ts';
import { toolchainFailure } from './toolchainCodes.ts';

export interface Nvcc {
  readonly path: string;
  /** `13.0.88`. */
  readonly version: string;
  /** Differs whenever nvcc, ptxas, cicc or cudafe++ was replaced. Part of every cache key. */
  readonly identity: string;
  /** What it can compile for (`--list-gpu-code`), in its own order. */
  readonly architectures: readonly string[];
  /** fatbinary of the same toolkit, if it is there. */
  readonly fatbinary: string | undefined;
  readonly warnings: readonly Diagnostic[];
}

export interface FindNvccOptions {
  /** `--nvcc`: nvcc itself, or the root of a toolkit. Nothing else is tried then. */
  readonly explicit?: string | undefined;
  readonly variables: Variables;
  /** Looked at last; `/usr/local/cuda`, then `/usr/local/cuda-*`, the newest first, by default. */
  readonly defaultRoots?: readonly string[];
  /**
   * Architectures that are asked for by name: of several that are new enough, an nvcc that has them
   * all is taken.
   */
  readonly architectures?: readonly string[];
}

const help =
  'install the CUDA toolkit (12.0 or later), or pass --nvcc PATH, or use --emit=cuda to write the sources only';
const queryTimeoutMs = 30_000;

/**
 * Finds nvcc: `--nvcc`, CUDA_HOME, CUDA_PATH, PATH, /usr/local/cuda and /usr/local/cuda-*. The
 * first that is new enough is taken, and those passed over are named in warnings (MOA4004). What
 * the user names, by `--nvcc` or a variable, is not passed over for being too old (MOA4002). Throws
 * MOA4001, which names each place looked at, where there is none, and MOA4002 where all are too
 * old.
 */
export async function findNvcc(options: FindNvccOptions): Promise<Nvcc> {
  const { explicit, variables, architectures = [] } = options;
  const candidates =
    explicit === undefined
      ? searchOrder(variables, options.defaultRoots ?? installedRoots('/usr/local'))
      : [explicitCandidate(explicit)];
  const looked: string[] = [];
  const skipped: string[] = [];
  let tooOld = false;
  let second: { readonly nvcc: Nvcc; readonly lack: string } | undefined;
  for (const { path, source, named } of candidates) {
    if (!isExecutable(path)) {
      looked.push(`${path} (${source})`);
      continue;
    }
    const found = await describe(path, variables);
    if (typeof found === 'string') {
      looked.push(`${path} (${source}: ${found})`);
      skipped.push(`${path} (${source}) ${found}`);
      continue;
    }
    if ('old' in found) {
      if (named)
        throw toolchainFailure('MOA4002', `${path} (${source}) is CUDA ${found.old}${needs}`, help);
      tooOld = true;
      looked.push(`${path} (${source}: CUDA ${found.old})`);
      skipped.push(`${path} (${source}) is CUDA ${found.old}${needs}`);
      continue;
    }
    const lacking = architectures.filter(
      (name) => !found.architectures.includes(withoutSuffix(name)),
    );
    if (lacking.length === 0 || named) return chosen(found, skipped);
    // Another may have them. If none has, the first is as good as any, and the architectures are an
    // error of their own.
    const lack = `${path} (${source}) is CUDA ${found.version}, which cannot compile for ${lacking.join(', ')}`;
    second ??= { nvcc: chosen(found, skipped), lack };
    skipped.push(lack);
  }
  if (second !== undefined) return second.nvcc;
  const places =
    looked.length > 0
      ? `; looked at:${looked.map((place) => `\n      ${place}`).join('')}`
      : ': neither CUDA_HOME nor PATH is set';
  if (tooOld)
    throw toolchainFailure(
      'MOA4002',
      `no nvcc is new enough: the kernels are C++20, which needs CUDA 12.0 or later${places}`,
      help,
    );
  throw toolchainFailure('MOA4001', `nvcc was not found${places}`, help);
}

const needs = '; the kernels are C++20, which needs 12.0 or later';

/** `nvcc`, with a warning that names those before it which were passed over (MOA4004). */
function chosen(nvcc: Nvcc, skipped: readonly string[]): Nvcc {
  const advice = 'put the toolkit that you mean first on PATH, or name it with --nvcc';
  const used = `${nvcc.path} (CUDA ${nvcc.version}) is used instead`;
  const warnings = skipped.map((what): Diagnostic => ({
    code: 'MOA4004',
    severity: 'warning',
    message: `${what}; ${used}`,
    help: advice,
  }));
  return { ...nvcc, warnings: [...warnings, ...nvcc.warnings] };
}

interface Candidate {
  readonly path: string;
  readonly source: string;
  /** By the user, for this purpose: it is right or wrong, and not passed over. */
  readonly named: boolean;
}

function explicitCandidate(explicit: string): Candidate {
  const path = resolve(explicit);
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  return { path: isFolder ? join(path, 'bin', 'nvcc') : path, source: '--nvcc', named: true };
}

function searchOrder(variables: Variables, defaultRoots: readonly string[]): readonly Candidate[] {
  const roots = ['CUDA_HOME', 'CUDA_PATH'].flatMap((name) => {
    const root = variables[name];
    return root === undefined || root === ''
      ? []
      : [{ path: join(resolve(root), 'bin', 'nvcc'), source: name, named: true }];
  });
  const onPath = pathCandidates('nvcc', variables['PATH']).map((path) => ({
    path,
    source: 'PATH',
    named: false,
  }));
  const defaults = defaultRoots.map((root) => ({
    path: join(root, 'bin', 'nvcc'),
    source: 'default',
    named: false,
  }));
  const seen = new Set<string>();
  const isNew = (path: string): boolean => {
    const real = realPath(path);
    return !seen.has(real) && seen.add(real) !== undefined;
  };
  return [...roots, ...onPath, ...defaults].filter(({ path }) => isNew(path));
}

/** `cuda` of a folder, then its `cuda-*`, the newest first. */
export function installedRoots(folder: string): readonly string[] {
  let names: readonly string[] = [];
  try {
    names = readdirSync(folder);
  } catch {
    // There is no such folder.
  }
  const versioned = names
    .filter((name) => /^cuda-\d+(\.\d+)*$/.test(name))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
  return ['cuda', ...versioned].map((name) => join(folder, name));
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/**
 * What there is to know about the nvcc at `path`, its version where it is too old, or why it is
 * none.
 */
async function describe(
  path: string,
  variables: Variables,
): Promise<Nvcc | { readonly old: string } | string> {
  const environment = compilerEnvironment(variables);
  const query = (...args: string[]) =>
    runProcess(path, args, { environment, timeoutMs: queryTimeoutMs });
  const [versionText, codes, dryRun] = await Promise.all([
    query('--version'),
    query('--list-gpu-code'),
    query('--dryrun', '-cubin', 'unused.cu'),
  ]);
  const release = /release (\d+)\.(\d+), V([\d.]+)/.exec(versionText.stdout);
  if (versionText.outcome !== 'exited' || versionText.status !== 0 || release === null) {
    return `does not answer --version as nvcc does${versionText.stderr === '' ? '' : `: ${firstLine(versionText.stderr)}`}`;
  }
  const [, major, , version = ''] = release;
  if (Number(major) < 12) return { old: version };
  const architectures = codes.stdout.split(/\s+/).filter((word) => word !== '');
  if (codes.status !== 0 || architectures.length === 0)
    return `does not answer --list-gpu-code: ${firstLine(codes.stderr)}`;
  // nvcc may be a script that starts another one; its dry run says where the real tools are.
  const tools = /^#\$ _HERE_=(.+)$/m.exec(dryRun.stderr)?.[1]?.trim() ?? dirname(path);
  const parts = [path, 'nvcc', 'ptxas', 'cudafe++', 'nvcc.profile', '../nvvm/bin/cicc'].map(
    (name) => fileIdentity(resolve(tools, name)),
  );
  const fatbinary = [join(tools, 'fatbinary'), join(dirname(path), 'fatbinary')].find(isExecutable);
  const identity = sha256(JSON.stringify([versionText.stdout, parts]));
  return {
    path,
    version,
    identity,
    architectures,
    fatbinary,
    warnings: droppedFlagsWarning(variables),
  };
}

const firstLine = (text: string): string => text.trim().split('\n', 1)[0] ?? '';
