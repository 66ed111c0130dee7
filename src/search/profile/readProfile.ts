import { createHash } from 'node:crypto';
import { DiagnosticError, DiagnosticList } from '../../util/diagnostics.ts';
import { invariant } from '../../util/invariant.ts';
import { quote } from '../../util/quote.ts';
import { InfluenceCheck } from './influenceCheck.ts';
import { PAGE, type Profile, type ProfileDescription } from './profile.ts';
import { readDescription } from './readDescription.ts';
import { changed, sameState, visitFloats, withSafetensors, type FileState, type Safetensors } from './safetensors.ts';
import type { TensorInfo } from './safetensorsHeader.ts';
import { addTails } from './tails.ts';

export interface ReadProfileOptions {
  /** Pages of sink for which losses are summed; one by default. In a model with windows of its own also for none. */
  readonly sinkPages?: readonly number[];
}

/**
 * Reads the influence profile at `path`, in one pass over its values and with little memory: what is kept are the losses of each head by
 * window. Everything that is wrong is reported, with the tensor, layer, head and block; undefined then.
 */
export async function readProfile(path: string, diagnostics: DiagnosticList, { sinkPages = [1] }: ReadProfileOptions = {}): Promise<Profile | undefined> {
  invariant(sinkPages.every((pages) => Number.isInteger(pages) && pages >= 0), 'readProfile: sinkPages are whole numbers');
  const before = diagnostics.errorCount;
  const profile = await withSafetensors(path, diagnostics, async (source) => {
    const description = readDescription(source.metadata, path, diagnostics);
    const tensors = description && tensorsOf(source, description, diagnostics);
    if (description === undefined || tensors === undefined) return undefined;
    // Layers with a window of their own have no sink.
    const windowed = description.model.windows?.some((window) => window !== null) === true;
    const sinks = [...new Set([...sinkPages, ...(windowed ? [0] : [])])];
    const { sha256, tails } = await readValues(source, description, tensors, sinks, diagnostics);
    return makeProfile(description, { file: path, state: source.state, tensors, sha256, sinkPages: sinks, tails });
  });
  return diagnostics.errorCount > before ? undefined : profile;
}

/** The tensor of each length; undefined where one is missing, unknown, or of another type or shape, all of which are reported. */
function tensorsOf(source: Safetensors, { model, lengths }: ProfileDescription, diagnostics: DiagnosticList): readonly TensorInfo[] | undefined {
  const before = diagnostics.errorCount;
  const error = (path: string, message: string): void => diagnostics.add({ code: 'MOA7107', severity: 'error', message, path, location: { file: source.file, line: 1, column: 1 } });
  const found = new Map(source.tensors.map((tensor) => [tensor.name, tensor]));
  const tensors = lengths.flatMap(({ length }) => {
    const name = `influence.${length}`;
    const tensor = found.get(name);
    found.delete(name);
    if (tensor === undefined) {
      error(name, `the tensor ${name} is missing`);
      return [];
    }
    const wanted = [model.layers, model.queryHeads, 2, length / PAGE, length / PAGE].join(' x ');
    if (tensor.dtype !== 'F32' || tensor.shape.join(' x ') !== wanted) error(name, `the tensor ${name} is ${tensor.dtype} of ${tensor.shape.join(' x ')}; F32 of ${wanted} is needed`);
    return [tensor];
  });
  for (const name of found.keys()) error(quote(name), `unknown tensor ${quote(name)}; a profile has influence.<N> for its lengths`);
  return diagnostics.errorCount > before ? undefined : tensors;
}

/** Losses by length and by position in `sinkPages`: layers x query heads x (pages + 1). */
type Tails = readonly (readonly Float64Array[])[];

async function readValues(
  source: Safetensors,
  { model, lengths }: ProfileDescription,
  tensors: readonly TensorInfo[],
  sinkPages: readonly number[],
  diagnostics: DiagnosticList,
): Promise<{ sha256: string; tails: Tails }> {
  const hash = createHash('sha256').update(source.head);
  const heads = model.layers * model.queryHeads;
  const tails = lengths.map(({ length }) => sinkPages.map(() => new Float64Array(heads * (length / PAGE + 1))));
  const check = new InfluenceCheck(source.file, model.queryHeads, diagnostics);
  // In the order of the file, so that its hash is made in the same pass.
  for (const tensor of source.tensors) {
    const index = tensors.indexOf(tensor);
    const pages = lengths[index]!.length / PAGE;
    const visit = (blocks: Float32Array, head: number): void => {
      check.head(blocks, pages, tensor.name, head, model.windows?.[Math.floor(head / model.queryHeads)] ?? null);
      sinkPages.forEach((sink, at) => addTails(blocks, pages, sink, tails[index]![at]!.subarray(head * (pages + 1), (head + 1) * (pages + 1))));
    };
    await visitFloats(source, tensor, 2 * pages * pages, visit, (bytes) => hash.update(bytes));
  }
  return { sha256: hash.digest('hex'), tails };
}

interface ReadFacts {
  readonly file: string;
  readonly state: FileState;
  readonly tensors: readonly TensorInfo[];
  readonly sha256: string;
  readonly sinkPages: readonly number[];
  readonly tails: Tails;
}

function makeProfile(description: ProfileDescription, { file, state, tensors, sha256, sinkPages, tails }: ReadFacts): Profile {
  const { model, lengths } = description;
  const place = (lengthIndex: number, layer: number, queryHead: number): { pages: number; head: number } => {
    const length = lengths[lengthIndex];
    invariant(length !== undefined && layer >= 0 && layer < model.layers && queryHead >= 0 && queryHead < model.queryHeads, 'profile: no such length, layer or head');
    return { pages: length.length / PAGE, head: layer * model.queryHeads + queryHead };
  };
  return {
    kind: 'profile',
    ...description,
    file,
    sha256,
    tail: (lengthIndex, layer, queryHead, sink) => {
      const { pages, head } = place(lengthIndex, layer, queryHead);
      const losses = tails[lengthIndex]![sinkPages.indexOf(sink)];
      invariant(losses !== undefined, `profile: it was not read for ${sink} pages of sink`);
      return losses.subarray(head * (pages + 1), (head + 1) * (pages + 1));
    },
    influenceMap: async (lengthIndex, layer, queryHead) => {
      const { pages, head } = place(lengthIndex, layer, queryHead);
      const blocks = new Float32Array(2 * pages * pages);
      const position = tensors[lengthIndex]!.offset + head * blocks.byteLength;
      await readAgain(file, state, (source) => source.read(position, new Uint8Array(blocks.buffer)));
      return Float32Array.from({ length: pages * pages }, (_, block) => blocks[block]! + blocks[pages * pages + block]!);
    },
  };
}

async function readAgain(file: string, state: FileState, read: (source: Safetensors) => Promise<void>): Promise<void> {
  const diagnostics = new DiagnosticList();
  await withSafetensors(file, diagnostics, async (source) => {
    if (!sameState(source.state, state)) throw changed(file);
    await read(source);
  });
  if (diagnostics.hasErrors) throw new DiagnosticError(diagnostics.toArray(), 2);
}
