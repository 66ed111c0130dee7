/**
 * Whether a package on disk is whole, from its folder alone: hashes, machine code, definitions, and
 * the packages of ranks in it.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { errorCode, unreadablePackage, type DiskCode } from '../emit/diskDiagnostics.ts';
import { definitionPath, manifestPath, type PackageManifest } from '../emit/package.ts';
import { diskFileSystem, readRegularFile } from '../emit/packageFileSystem.ts';
import { readDefinition, type FoundDefinition } from '../emit/readDefinition.ts';
import { rankFolder, tensorParallelPath } from '../emit/tensorParallelFile.ts';
import { parseManifest, readManifest, verifyPackage } from '../emit/verifyPackage.ts';
import { DiagnosticError, type Diagnostic } from '../util/diagnostics.ts';
import { factsOf, misfit, parseTable, type ListedFacts } from './packageFacts.ts';
import { isMachineCode, verifyImages } from './verifyImages.ts';

export interface PackageCheck {
  readonly problems: readonly PackageProblem[];
  /** What was looked at. */
  readonly files: number;
  readonly images: number;
  readonly definitions: number;
  /** Of a package of ranks. */
  readonly ranks?: number;
}

/** `path` is in the package; the manifest stands for what concerns the whole. */
export type PackageProblem = Diagnostic & { readonly path: string; readonly code: DiskCode };

/** Checks the package in `folder`. Problems are in the order of their paths; none: it is whole. */
export function checkPackage(folder: string): PackageCheck {
  try {
    if (!fs.statSync(folder).isDirectory())
      throw Object.assign(new Error('no folder'), { code: 'ENOTDIR' });
    return new Checker(folder).check();
  } catch (error) {
    if (error instanceof DiagnosticError) return failed(error.diagnostics);
    if (errorCode(error) === undefined) throw error;
    return failed([unreadablePackage(folder, error)]);
  }
}

const failed = (diagnostics: readonly Diagnostic[]): PackageCheck => ({
  problems: diagnostics.map(
    (diagnostic) => ({ ...diagnostic, path: manifestPath }) as PackageProblem,
  ),
  files: 0,
  images: 0,
  definitions: 0,
});

class Checker {
  readonly #folder: string;
  readonly #problems = new Map<string, PackageProblem>();
  #images = 0;
  #definitions = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  check(): PackageCheck {
    const manifest = readManifest(this.#folder);
    for (const problem of verifyPackage(this.#folder))
      this.#add('MOA5011', problem.path ?? manifestPath, problem.message);
    const { ranks } = factsOf(manifest);
    if (typeof ranks === 'number') this.#checkRanks(ranks);
    else this.#checkContent('', manifest);
    const problems = [...this.#problems.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
    const counts = {
      files: Object.keys(manifest.files).length + 1,
      images: this.#images,
      definitions: this.#definitions,
    };
    return { problems, ...counts, ...(typeof ranks === 'number' ? { ranks } : {}) };
  }

  /** A problem of a file whose content the manifest vouches for, and wrongly. */
  #addContent(code: 'MOA5010' | 'MOA5015' | 'MOA5016', path: string, message: string): void {
    this.#add(code, path, `${path} of the package ${this.#folder}: ${message}`);
  }

  /** Of each path the first problem is kept: a file that is damaged has others that follow. */
  #add(code: DiskCode, path: string, message: string): void {
    if (this.#problems.has(path)) return;
    this.#problems.set(path, { code, severity: 'error', path, message });
  }

  #read(path: string): Uint8Array | undefined {
    try {
      return readRegularFile(diskFileSystem, join(this.#folder, path));
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      return undefined;
    }
  }

  #text(path: string): string | undefined {
    const bytes = this.#read(path);
    return bytes && Buffer.from(bytes).toString('utf8');
  }

  /**
   * What a manifest cannot say of its files: that they are what they should be. `prefix` is the
   * folder of a rank, or empty.
   */
  #checkContent(prefix: string, manifest: PackageManifest): FoundDefinition | undefined {
    const facts = factsOf(manifest);
    const listed = Object.keys(manifest.files);
    const images = new Map(
      listed.filter(isMachineCode).flatMap((path) => {
        const bytes = this.#read(prefix + path);
        return bytes === undefined ? [] : [[path, bytes] as const];
      }),
    );
    this.#images += images.size;
    for (const { path, problem } of verifyImages(images, facts.kernels, facts.architectures))
      this.#addContent('MOA5015', prefix + path, `the machine code is damaged: ${problem}`);
    return listed.includes(definitionPath)
      ? this.#checkDefinition(prefix, facts, listed)
      : undefined;
  }

  #checkDefinition(
    prefix: string,
    facts: ListedFacts,
    listed: readonly string[],
  ): FoundDefinition | undefined {
    const text = this.#text(prefix + definitionPath);
    if (text === undefined) return undefined;
    this.#definitions += 1;
    const definition = readDefinition(text);
    const problem = typeof definition === 'string' ? definition : misfit(definition, facts, listed);
    if (problem !== undefined)
      this.#addContent(
        'MOA5016',
        prefix + definitionPath,
        `the definition does not fit the package: ${problem}`,
      );
    return typeof definition === 'string' ? undefined : definition;
  }

  #checkRanks(ranks: number): void {
    const table = parseTable(this.#text(tensorParallelPath));
    const packages = Array.from({ length: ranks }, (_, rank) => rankFolder(rank));
    if (table === undefined || table.ranks !== ranks || table.packages.join() !== packages.join()) {
      this.#addContent(
        'MOA5016',
        tensorParallelPath,
        `the file does not say which heads each of ${ranks} ranks has`,
      );
    }
    packages.forEach((name, rank) => {
      const text = this.#text(`${name}/${manifestPath}`);
      const manifest = text === undefined ? undefined : parseManifest(text);
      if (manifest === undefined)
        return this.#addContent(
          'MOA5010',
          `${name}/${manifestPath}`,
          `there is no package of rank ${rank}`,
        );
      const own = factsOf(manifest).tensorParallel as
        { readonly rank?: unknown; readonly ranks?: unknown } | undefined;
      if (own?.rank !== rank || own.ranks !== ranks)
        this.#addContent(
          'MOA5016',
          `${name}/${manifestPath}`,
          `the package is not that of rank ${rank} of ${ranks}`,
        );
      for (const problem of verifyPackage(join(this.#folder, name)))
        this.#add('MOA5011', `${name}/${problem.path ?? manifestPath}`, problem.message);
      const definition = this.#checkContent(`${name}/`, manifest);
      const heads = definition?.tensorParallel?.kvHeads;
      const agrees =
        JSON.stringify(heads) === JSON.stringify(table?.layers.map(({ kvHeads }) => kvHeads[rank]));
      if (definition !== undefined && table !== undefined && !agrees)
        this.#addContent(
          'MOA5016',
          `${name}/${definitionPath}`,
          `its KV heads are not those that ${tensorParallelPath} says`,
        );
    });
  }
}
