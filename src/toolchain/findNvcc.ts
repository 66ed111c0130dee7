import { statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
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
  /** Looked at last; `/usr/local/cuda` by default. */
  readonly defaultRoots?: readonly string[];
}

const help = 'install the CUDA toolkit (12.0 or later), or pass --nvcc PATH, or use --emit=cuda to write the sources only';
const queryTimeoutMs = 30_000;

/** Finds nvcc: `--nvcc`, CUDA_HOME, CUDA_PATH, PATH, /usr/local/cuda. Throws MOA4001, which names each place looked at, or MOA4002. */
export async function findNvcc(options: FindNvccOptions): Promise<Nvcc> {
  const { explicit, variables } = options;
  const candidates = explicit === undefined ? searchOrder(variables, options.defaultRoots ?? ['/usr/local/cuda']) : [explicitCandidate(explicit)];
  const looked: string[] = [];
  for (const { path, source } of candidates) {
    if (!isExecutable(path)) {
      looked.push(`${path} (${source})`);
      continue;
    }
    const found = await describe(path, variables);
    if (typeof found !== 'string') return found;
    looked.push(`${path} (${source}: ${found})`);
  }
  const places = looked.length > 0 ? `; looked at:${looked.map((place) => `\n      ${place}`).join('')}` : ': neither CUDA_HOME nor PATH is set';
  throw toolchainFailure('MOA4001', `nvcc was not found${places}`, help);
}

interface Candidate {
  readonly path: string;
  readonly source: string;
}

function explicitCandidate(explicit: string): Candidate {
  const path = resolve(explicit);
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  return { path: isFolder ? join(path, 'bin', 'nvcc') : path, source: '--nvcc' };
}

function searchOrder(variables: Variables, defaultRoots: readonly string[]): readonly Candidate[] {
  const roots = ['CUDA_HOME', 'CUDA_PATH'].flatMap((name) => {
    const root = variables[name];
    return root === undefined || root === '' ? [] : [{ path: join(resolve(root), 'bin', 'nvcc'), source: name }];
  });
  const onPath = pathCandidates('nvcc', variables['PATH']).map((path) => ({ path, source: 'PATH' }));
  const defaults = defaultRoots.map((root) => ({ path: join(root, 'bin', 'nvcc'), source: 'default' }));
  const seen = new Set<string>();
  return [...roots, ...onPath, ...defaults].filter(({ path }) => !seen.has(path) && seen.add(path));
}

/** What there is to know about the nvcc at `path`, or why it is none. */
async function describe(path: string, variables: Variables): Promise<Nvcc | string> {
  const environment = compilerEnvironment(variables);
  const query = (...args: string[]) => runProcess(path, args, { environment, timeoutMs: queryTimeoutMs });
  const [versionText, codes, dryRun] = await Promise.all([query('--version'), query('--list-gpu-code'), query('--dryrun', '-cubin', 'unused.cu')]);
  const release = /release (\d+)\.(\d+), V([\d.]+)/.exec(versionText.stdout);
  if (versionText.outcome !== 'exited' || versionText.status !== 0 || release === null) {
    return `does not answer --version as nvcc does${versionText.stderr === '' ? '' : `: ${firstLine(versionText.stderr)}`}`;
  }
  const [, major, , version = ''] = release;
  if (Number(major) < 12) throw toolchainFailure('MOA4002', `${path} is CUDA ${version}; the kernels are C++20, which needs 12.0 or later`, help);
  const architectures = codes.stdout.split(/\s+/).filter((word) => word !== '');
  if (codes.status !== 0 || architectures.length === 0) return `does not answer --list-gpu-code: ${firstLine(codes.stderr)}`;
  // nvcc may be a script that starts another one; its dry run says where the real tools are.
  const tools = /^#\$ _HERE_=(.+)$/m.exec(dryRun.stderr)?.[1]?.trim() ?? dirname(path);
  const parts = [path, 'nvcc', 'ptxas', 'cudafe++', 'nvcc.profile', '../nvvm/bin/cicc'].map((name) => fileIdentity(resolve(tools, name)));
  const fatbinary = [join(tools, 'fatbinary'), join(dirname(path), 'fatbinary')].find(isExecutable);
  const identity = sha256(JSON.stringify([versionText.stdout, parts]));
  return { path, version, identity, architectures, fatbinary, warnings: droppedFlagsWarning(variables) };
}

const firstLine = (text: string): string => text.trim().split('\n', 1)[0] ?? '';
