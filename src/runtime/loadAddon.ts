import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NativeAddon } from './native.ts';
import { RuntimeError } from './runtimeError.ts';

let loaded: NativeAddon | undefined;

/** The native addon, loaded on the first call. Throws MOA6002 where it was not built for this platform. */
export function loadAddon(): NativeAddon {
  loaded ??= findAddon(packageRoot(dirname(fileURLToPath(import.meta.url))));
  return loaded;
}

/** The addon of the package in `root`: what was built here goes before what was shipped. Not cached. */
export function findAddon(root: string): NativeAddon {
  const platform = `${process.platform}-${process.arch}`;
  const candidates = [join(root, 'build', 'Release', 'moa.node'), join(root, 'prebuilds', platform, 'moa.node')];
  const path = candidates.find((candidate) => existsSync(candidate));
  const help = `build it with: npm --prefix ${root} run build:native`;
  if (path === undefined) {
    throw new RuntimeError('addonMissing', `the native addon was not built for ${platform}; looked for ${candidates.join(' and ')}`, help);
  }
  try {
    return createRequire(import.meta.url)(path) as NativeAddon;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new RuntimeError('addonMissing', `the native addon ${path} cannot be loaded: ${reason}`, help, error);
  }
}

/** The nearest folder at or above `folder` with a `package.json`: the same from `src/` and from `dist/`. */
function packageRoot(folder: string): string {
  for (let current = folder; ; current = dirname(current)) {
    if (existsSync(join(current, 'package.json'))) return current;
    if (current === dirname(current)) {
      throw new RuntimeError('addonMissing', `no package.json is at or above ${folder}`, 'install moa-compile as a package, not as single files');
    }
  }
}
