import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ElementType } from '../ir/nodes.ts';
import { describeValue } from '../util/describeValue.ts';
import type { Device } from './device.ts';
import type { LoadOptions } from './loadOptions.ts';
import { Plan } from './plan.ts';
import { readDefinition } from './readDefinition.ts';
import { RuntimeError } from './runtimeError.ts';

/**
 * Loads a package from any folder, which may be read-only: its kernels on `device`, as `load` of its `index.js` does.
 * @param folder a path, or a `file:` URL
 * @throws RuntimeError MOA6201 for a package of another format, MOA6204 where the folder holds none or it is damaged, and what `load` throws
 */
export async function loadPackage(device: Device, folder: string | URL, options?: LoadOptions | readonly ElementType[]): Promise<Plan> {
  const base = folderUrl(folder);
  return Plan.load(device, readDefinition(new URL('definition.json', base)), base, options);
}

/** With a slash at its end, so that names of files are relative to it. */
function folderUrl(folder: unknown): URL {
  if (typeof folder === 'string') return pathToFileURL(`${resolve(folder)}/`);
  if (folder instanceof URL && folder.protocol === 'file:') return folder.href.endsWith('/') ? folder : new URL(`${folder.href}/`);
  throw new RuntimeError('badArgument', `loadPackage: ${describeValue(folder)} names no folder`, 'a path, or a file: URL');
}
