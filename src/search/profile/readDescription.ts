import { MAX_HEADS, MAX_HEAD_DIM, MAX_LAYERS, MODEL_NAME, MODEL_WINDOWS, SCALES, SOFT_CAPS } from '../../plan/planSchema.ts';
import type { DiagnosticList } from '../../util/diagnostics.ts';
import { readJson, toJsonValue, type JsonValue } from '../../util/jsonReader.ts';
import { joinPath } from '../../util/quote.ts';
import { FieldReader } from '../fields.ts';
import { PAGE, TARGETS, type ProfileDescription, type ProfiledLength } from './profile.ts';

const CODES = { key: 'MOA7106', value: 'MOA7106', format: 'MOA7105' } as const;

export const PROFILE_FORMAT = 'moa-profile';
export const PROFILE_VERSION = '1';
export const MAX_LENGTHS = 16;
export const MAX_PROFILED_LENGTH = 2 ** 17;

/** Reads the metadata of a profile. Undefined when an error was reported. */
export function readDescription(metadata: ReadonlyMap<string, string>, file: string, diagnostics: DiagnosticList): ProfileDescription | undefined {
  const before = diagnostics.errorCount;
  const fields = new FieldReader(file, CODES, diagnostics);
  if (metadata.get('format') !== PROFILE_FORMAT) return fields.error('MOA7105', '__metadata__.format', `the file is not a profile: its metadata has no format "${PROFILE_FORMAT}"`, 'give the file that the profiler wrote');
  if (metadata.get('version') !== PROFILE_VERSION) return fields.error('MOA7105', '__metadata__.version', `the profile is not of version ${PROFILE_VERSION}`, 'make it with the profiler of this version');
  const text = metadata.get('profile');
  if (text === undefined) return fields.error('MOA7106', '__metadata__.profile', 'the metadata has no "profile"');
  for (const key of metadata.keys()) if (!['format', 'version', 'profile'].includes(key)) fields.error('MOA7106', joinPath('__metadata__', key), 'unknown key of the metadata');
  const document = readJson(text, file, diagnostics);
  if (document === undefined || diagnostics.errorCount > before) return undefined;
  const description = readProfileText(fields, toJsonValue(document.root));
  return diagnostics.errorCount > before ? undefined : description;
}

function readProfileText(fields: FieldReader, value: JsonValue): ProfileDescription | undefined {
  const root = fields.object(value, 'profile', ['model', 'page', 'lengths', 'data', 'skipped'], ['target', 'fingerprint']);
  if (root === undefined) return undefined;
  const model = readModel(fields, root['model']);
  const page = fields.integer(root['page'], 'profile.page', { min: PAGE, max: PAGE });
  const lengths = fields.every(fields.array(root['lengths'], 'profile.lengths', { min: 1, max: MAX_LENGTHS }), 'profile.lengths', (item, path) => readLength(fields, item, path));
  const data = fields.object(root['data'], 'profile.data', ['sha256']);
  const sha256 = fields.text(data?.['sha256'], 'profile.data.sha256', /^[0-9a-f]{64}$/, 'a SHA-256 in hex');
  const skipped = fields.integer(root['skipped'], 'profile.skipped', { min: 0, max: Number.MAX_SAFE_INTEGER });
  lengths?.forEach(({ length }, index) => {
    const earlier = lengths[index - 1]?.length ?? 0;
    if (length <= earlier) fields.error('MOA7106', `profile.lengths[${index}].length`, `length ${length} is not more than the one before it, ${earlier}`);
  });
  const target = root['target'] === undefined ? 'cross-entropy' : fields.choice(root['target'], 'profile.target', TARGETS);
  const fingerprint = fields.text(root['fingerprint'], 'profile.fingerprint', /^[0-9a-f]{64}$/, 'a SHA-256 in hex');
  if (target === undefined || model === undefined || page !== PAGE || lengths === undefined || sha256 === undefined || skipped === undefined) return undefined;
  return { model, page, lengths, data: { sha256 }, skipped, target, ...(fingerprint === undefined ? {} : { fingerprint }) };
}

function readModel(fields: FieldReader, value: JsonValue | undefined): ProfileDescription['model'] | undefined {
  const at = (key: string): string => `profile.model.${key}`;
  const model = fields.object(value, 'profile.model', ['layers', 'queryHeads', 'kvHeads', 'headDim'], ['name', 'elementType', 'softCap', 'learnedSinks', 'scale', 'windows']);
  if (model === undefined) return undefined;
  const count = (key: string, max: number): number | undefined => fields.integer(model[key], at(key), { min: 1, max });
  const [layers, queryHeads, kvHeads, headDim] = [count('layers', MAX_LAYERS), count('queryHeads', MAX_HEADS), count('kvHeads', MAX_HEADS), count('headDim', MAX_HEAD_DIM)];
  const name = fields.text(model['name'], at('name'), MODEL_NAME, 'a name: up to 128 letters, digits and . _ / -');
  const elementType = fields.choice(model['elementType'], at('elementType'), ['bf16', 'fp16']);
  const softCap = model['softCap'] === 0 ? 0 : fields.number(model['softCap'], at('softCap'), SOFT_CAPS);
  const learnedSinks = fields.flag(model['learnedSinks'], at('learnedSinks'));
  const scale = fields.number(model['scale'], at('scale'), SCALES);
  const windows = layers === undefined ? undefined : readWindows(fields, model['windows'], at('windows'), layers);
  if (layers === undefined || queryHeads === undefined || kvHeads === undefined || headDim === undefined) return undefined;
  if (queryHeads % kvHeads !== 0) return fields.error('MOA7106', at('kvHeads'), `${queryHeads} query heads cannot be shared out evenly among ${kvHeads} KV heads`);
  const scores = { ...(softCap === undefined ? {} : { softCap }), ...(learnedSinks === undefined ? {} : { learnedSinks }), ...(scale === undefined ? {} : { scale }), ...(windows === undefined ? {} : { windows }) };
  return { layers, queryHeads, kvHeads, headDim, ...(name === undefined ? {} : { name }), ...(elementType === undefined ? {} : { elementType }), ...scores };
}

/** For each layer tokens, or null. */
function readWindows(fields: FieldReader, value: JsonValue | undefined, path: string, layers: number): readonly (number | null)[] | undefined {
  const items = fields.array(value, path, { min: layers, max: layers });
  const read = (item: JsonValue, index: number): number | null | undefined => (item === null ? null : fields.integer(item, `${path}[${index}]`, MODEL_WINDOWS));
  const windows = items?.map(read);
  return windows?.every((window) => window !== undefined) === true ? windows : undefined;
}

function readLength(fields: FieldReader, value: JsonValue, path: string): ProfiledLength | undefined {
  const entry = fields.object(value, path, ['length', 'samples', 'answerTokens', 'loss']);
  if (entry === undefined) return undefined;
  const length = fields.integer(entry['length'], `${path}.length`, { min: PAGE, max: MAX_PROFILED_LENGTH });
  const samples = fields.integer(entry['samples'], `${path}.samples`, { min: 1, max: Number.MAX_SAFE_INTEGER });
  const answerTokens = fields.integer(entry['answerTokens'], `${path}.answerTokens`, { min: 1, max: Number.MAX_SAFE_INTEGER });
  const loss = fields.number(entry['loss'], `${path}.loss`, { min: 0, max: Number.MAX_VALUE });
  if (length !== undefined && length % PAGE !== 0) return fields.error('MOA7106', `${path}.length`, `${length} is not a multiple of ${PAGE}`);
  return length === undefined || samples === undefined || answerTokens === undefined || loss === undefined ? undefined : { length, samples, answerTokens, loss };
}
