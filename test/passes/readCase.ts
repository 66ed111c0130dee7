/**
 * A fixture of a pass, `test/passes/<passName>/<case>.txt`:
 *
 *     # Why this case is here.
 *     target architectures=sm_80,sm_86 elementTypes=bf16,fp16 rope=true cacheType=element ablations=unspecialised,cuda-cores
 *     shape layers=1 queryHeads=2 kvHeads=2 headDim=64
 *     layer 0: N | 256
 *     ---
 *     the printed IR after the pass, which ran after all the passes before it
 *
 * `target` may be left out, and any of its fields. A case whose name begins with `nothing` shows a module for which the pass has nothing to do.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findArchitecture } from '../../src/arch/registry.ts';
import type { CacheType, ElementType, HeadModule } from '../../src/ir/nodes.ts';
import { sinkWindow } from '../../src/mask/sinkWindow.ts';
import type { Ablation, PassContext } from '../../src/passes/pass.ts';
import { readHeadModule } from '../ir/readHeadModule.ts';

export interface PassCase {
  /** Comment and input, to be written back as they are. */
  readonly input: string;
  readonly module: HeadModule;
  readonly context: PassContext;
  readonly expected: string;
}

export const separator = '---\n';

const casesFolder = fileURLToPath(new URL('./', import.meta.url));

/** The cases of every pass that has a folder: `[pass, paths]`. */
export function listCases(): ReadonlyMap<string, readonly string[]> {
  const folders = readdirSync(casesFolder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return new Map(folders.map(({ name }) => [name, readdirSync(`${casesFolder}${name}`).filter((file) => file.endsWith('.txt')).sort().map((file) => `${casesFolder}${name}/${file}`)]));
}

export function readCase(text: string): PassCase {
  const cut = text.indexOf(separator);
  const input = cut < 0 ? text : text.slice(0, cut);
  const lines = input.split('\n').filter((line) => !line.startsWith('#'));
  const target = lines.find((line) => line.startsWith('target ')) ?? 'target';
  const module = readHeadModule(lines.filter((line) => line !== target).join('\n'));
  return { input, module, context: readTarget(target), expected: cut < 0 ? '' : text.slice(cut + separator.length) };
}

function readTarget(line: string): PassContext {
  const fields = new Map(line.split(' ').slice(1).map((field) => field.split('=') as [string, string]));
  const names = (fields.get('architectures') ?? 'sm_80').split(',');
  const architectures = names.map((name) => {
    const architecture = findArchitecture(name);
    if (architecture === undefined) throw new Error(`no architecture ${name}`);
    return architecture;
  });
  const elementTypes = (fields.get('elementTypes') ?? 'bf16').split(',') as ElementType[];
  return {
    architectures,
    elementTypes,
    rope: fields.get('rope') === 'true',
    cacheType: (fields.get('cacheType') ?? 'element') as CacheType,
    slack: Number(fields.get('slack') ?? 0),
    decodeTokens: Number(fields.get('decodeTokens') ?? 1),
    ablations: (fields.get('ablations')?.split(',') ?? []) as Ablation[],
    mask: sinkWindow,
  };
}
