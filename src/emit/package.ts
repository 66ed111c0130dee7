/** A package as a value: every file that `writePackage` will put on disk. */
import { createHash } from 'node:crypto';
import { invariant } from '../util/invariant.ts';
import { stableJson } from '../util/stableJson.ts';

/** What `format` says in the manifest of a package of ours. */
export const packageFormat = 'moa-compile-package/1';
export const manifestPath = 'manifest.json';
/** What was compiled, for hosts (docs/package-format.md). */
export const definitionPath = 'definition.json';

export type FileContent = Uint8Array | string;

export interface PackageFiles {
  /** Content by relative POSIX path, in the order of the paths. Text is UTF-8. */
  readonly files: ReadonlyMap<string, FileContent>;
}

export interface ManifestFile {
  readonly bytes: number;
  /** 64 lower-case hexadecimal digits. */
  readonly sha256: string;
}

/** `manifest.json`; it may have more members, as `sealPackage` was given. */
export interface PackageManifest {
  readonly format: typeof packageFormat;
  /** Every file but the manifest itself. */
  readonly files: Readonly<Record<string, ManifestFile>>;
}

/** A package of `entries`, sorted by path. Throws an internal error for a path that is not valid, appears twice, or is also a folder. */
export function packageFiles(entries: Iterable<readonly [string, FileContent]>): PackageFiles {
  const sorted = [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
  const files = new Map<string, FileContent>();
  for (const [path, content] of sorted) {
    invariant(isPackagePath(path), `${JSON.stringify(path)} is not a path of a package`);
    invariant(!files.has(path), `the package has ${path} twice`);
    files.set(path, content);
  }
  for (const path of files.keys()) {
    for (const folder of parentFolders(path)) invariant(!files.has(folder), `${folder} is both a file and a folder of the package`);
  }
  return { files };
}

/** `package` with a `manifest.json` that lists every file; `fields` are more members of the manifest. Same input, same bytes. */
export function sealPackage({ files }: PackageFiles, fields: Readonly<Record<string, unknown>> = {}): PackageFiles {
  invariant(!files.has(manifestPath), 'the package is sealed already');
  invariant(!('format' in fields) && !('files' in fields), 'the manifest fields format and files are the package\'s own');
  const listed = [...files].map(([path, content]) => [path, describeFile(content)] as const);
  const manifest = stableJson({ ...fields, format: packageFormat, files: Object.fromEntries(listed) });
  return packageFiles([...files, [manifestPath, manifest]]);
}

/** Whether `path` is relative, at most 128 characters, of segments of `A-Z a-z 0-9 . _ -`, none of them `.` or `..`. */
export function isPackagePath(path: string): boolean {
  return path.length <= 128 && path.split('/').every((segment) => /^[A-Za-z0-9._-]+$/.test(segment) && segment !== '.' && segment !== '..');
}

/** `['a', 'a/b']` of `a/b/c`. */
export function parentFolders(path: string): string[] {
  const segments = path.split('/');
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'));
}

export function fileBytes(content: FileContent): Uint8Array {
  return typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
}

export function describeFile(content: FileContent): ManifestFile {
  const bytes = fileBytes(content);
  return { bytes: bytes.byteLength, sha256: sha256(bytes) };
}

/** The SHA-256 of `content` (text as UTF-8), in lower-case hexadecimal. */
export function sha256(content: FileContent): string {
  return createHash('sha256').update(content).digest('hex');
}
