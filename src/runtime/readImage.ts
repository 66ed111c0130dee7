import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { RuntimeError } from './runtimeError.ts';

/** The bytes of a package's cubin, found to be those of its manifest: a damaged or mixed package never reaches the driver. */
export async function readImage(folder: URL, path: string): Promise<Uint8Array> {
  const read = async (name: string): Promise<Buffer> => {
    try {
      return await readFile(fileURLToPath(new URL(name, folder)));
    } catch (error) {
      throw damaged(`${name} of the package cannot be read`, error);
    }
  };
  // One after the other, so that of two files that are missing the same one is always named.
  const image = await read(path);
  const manifest = await read('manifest.json');
  const wanted = hashInManifest(manifest.toString('utf8'), path);
  const found = createHash('sha256').update(image).digest('hex');
  if (wanted !== found) throw damaged(`${path} is not the file that the package's manifest lists`);
  return image;
}

function hashInManifest(text: string, path: string): string | undefined {
  try {
    const manifest = JSON.parse(text) as { files?: Record<string, { sha256?: string } | undefined> } | null;
    return manifest?.files?.[path]?.sha256;
  } catch (error) {
    throw damaged('manifest.json of the package is not JSON', error);
  }
}

const damaged = (message: string, cause?: unknown): RuntimeError => new RuntimeError('packageDamaged', message, 'compile the plan again and replace the whole package', cause);
