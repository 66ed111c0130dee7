import type { RopeScaling } from '../ir/rope.ts';
import { joinPath, quote } from '../util/quote.ts';
import { readBoolean, readNumber, readString, requireMember } from './readFields.ts';
import {
  FACTORS,
  originalLengthOf,
  outOfRange,
  POSITIVE,
  readFactors,
  required,
  requiredLength,
} from './readRopeParameters.ts';
import { rejectUnknownKeys, type Scope } from './report.ts';
import { NO_ROPE_HELP } from './ropeFamilies.ts';

/** The keys of each variant beside its name, `rope_theta` and `partial_rotary_factor`. */
const KEYS: Readonly<Record<RopeScaling['type'], readonly string[]>> = {
  default: [],
  linear: ['factor'],
  dynamic: ['factor'],
  llama3: ['factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings'],
  yarn: [
    'factor',
    'original_max_position_embeddings',
    'attention_factor',
    'beta_fast',
    'beta_slow',
    'mscale',
    'mscale_all_dim',
    'truncate',
  ],
  longrope: [
    'factor',
    'original_max_position_embeddings',
    'attention_factor',
    'short_factor',
    'long_factor',
  ],
};

const VARIANTS = Object.keys(KEYS);

/**
 * Reads how frequencies are scaled; undefined when an error was reported. `section` may be absent:
 * then they are not.
 */
export function readRopeScaling(
  config: Scope,
  section: Scope | undefined,
  aliases: Readonly<Record<string, string>>,
  rotaryDim: number,
): RopeScaling | undefined {
  if (section === undefined) return { type: 'default' };
  const before = section.report.errorCount;
  const type = readType(section, aliases);
  if (type === undefined) return undefined;
  rejectUnknownKeys(section, [
    'rope_type',
    'type',
    'rope_theta',
    'partial_rotary_factor',
    ...KEYS[type],
  ]);
  const scaling = readVariant(type, config, section, rotaryDim);
  return section.report.errorCount > before ? undefined : scaling;
}

/** `rope_type`, or `type` in older files, as one of ours (MOA1401). */
function readType(
  section: Scope,
  aliases: Readonly<Record<string, string>>,
): RopeScaling['type'] | undefined {
  const { node, path, report } = section;
  const reject = (key: string, name: string): undefined => {
    report.error(
      'MOA1401',
      node.members.get(key)!.value.offset,
      joinPath(path, key),
      `RoPE of the type ${name}; the kernels have ${VARIANTS.join(', ')}`,
      { help: NO_ROPE_HELP },
    );
    return undefined;
  };
  const before = report.errorCount;
  const names = ['rope_type', 'type'].map((key) => readString(section, key));
  if (report.errorCount > before) return undefined;
  if (node.members.has('mrope_section'))
    return reject('mrope_section', '"mrope", with sections of a head for time, height and width');
  const [newer, older] = names;
  const name = newer ?? older;
  const key = newer === undefined ? 'type' : 'rope_type';
  const meantBy = (text: string): string => (Object.hasOwn(aliases, text) ? aliases[text]! : text);
  if (newer !== undefined && older !== undefined && meantBy(newer) !== meantBy(older)) {
    report.error(
      'MOA1403',
      node.members.get('type')!.value.offset,
      joinPath(path, 'type'),
      `rope_type is ${quote(newer)}, type is ${quote(older)}`,
      { help: 'mend one of them' },
    );
    return undefined;
  }
  if (name === undefined) {
    if (
      [...node.members.keys()].every(
        (known) => known === 'rope_theta' || known === 'partial_rotary_factor',
      )
    )
      return 'default';
    requireMember(section, 'rope_type', `one of ${VARIANTS.join(', ')}`);
    return undefined;
  }
  const meant = meantBy(name);
  return VARIANTS.includes(meant) ? (meant as RopeScaling['type']) : reject(key, quote(name));
}

function readVariant(
  type: RopeScaling['type'],
  config: Scope,
  section: Scope,
  rotaryDim: number,
): RopeScaling | undefined {
  switch (type) {
    case 'default':
      return { type };
    case 'linear': {
      const factor = required(section, 'factor');
      return factor === undefined ? undefined : { type, factor };
    }
    case 'dynamic': {
      const factor = required(section, 'factor');
      const originalLength = requiredLength(config, 'max_position_embeddings');
      return factor === undefined || originalLength === undefined
        ? undefined
        : { type, factor, originalLength };
    }
    case 'llama3': {
      const factor = required(section, 'factor');
      const lowFrequencyFactor = required(section, 'low_freq_factor', POSITIVE);
      const highFrequencyFactor = required(section, 'high_freq_factor', POSITIVE);
      const originalLength = originalLengthOf(config, section);
      if (!factor || !lowFrequencyFactor || !highFrequencyFactor || !originalLength)
        return undefined;
      if (highFrequencyFactor > lowFrequencyFactor)
        return { type, factor, lowFrequencyFactor, highFrequencyFactor, originalLength };
      outOfRange(
        section,
        'high_freq_factor',
        `high_freq_factor ${highFrequencyFactor} is not over low_freq_factor ${lowFrequencyFactor}`,
      );
      return undefined;
    }
    case 'yarn':
      return readYarn(config, section);
    case 'longrope':
      return readLongrope(config, section, rotaryDim);
  }
}

function readYarn(config: Scope, section: Scope): RopeScaling | undefined {
  const factor = required(section, 'factor');
  const originalLength = originalLengthOf(config, section);
  const given = readNumber(section, 'attention_factor', POSITIVE, 'positive');
  const mscale = readNumber(section, 'mscale', POSITIVE, 'zero');
  const mscaleAllDim = readNumber(section, 'mscale_all_dim', POSITIVE, 'zero');
  // 0 counts as absent in transformers.
  const betaFast = readNumber(section, 'beta_fast', POSITIVE, 'zero') || 32;
  const betaSlow = readNumber(section, 'beta_slow', POSITIVE, 'zero') || 1;
  const truncate = readBoolean(section, 'truncate') ?? true;
  if (!factor || !originalLength) return undefined;
  if (betaFast < betaSlow) {
    outOfRange(section, 'beta_fast', `beta_fast ${betaFast} is under beta_slow ${betaSlow}`);
    return undefined;
  }
  const magnitude = (scale: number): number =>
    factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1;
  const attentionFactor =
    given ?? (mscale && mscaleAllDim ? magnitude(mscale) / magnitude(mscaleAllDim) : magnitude(1));
  return { type: 'yarn', factor, betaFast, betaSlow, truncate, originalLength, attentionFactor };
}

function readLongrope(config: Scope, section: Scope, rotaryDim: number): RopeScaling | undefined {
  const shortFactors = readFactors(section, 'short_factor', rotaryDim / 2);
  const longFactors = readFactors(section, 'long_factor', rotaryDim / 2);
  const originalLength = originalLengthOf(config, section);
  const given = readNumber(section, 'attention_factor', POSITIVE, 'positive');
  const stated = readNumber(section, 'factor', FACTORS, 'positive');
  const most =
    given === undefined && stated === undefined
      ? requiredLength(config, 'max_position_embeddings')
      : undefined;
  if (
    !shortFactors ||
    !longFactors ||
    !originalLength ||
    (given === undefined && stated === undefined && most === undefined)
  )
    return undefined;
  const factor = stated ?? (most ?? originalLength) / originalLength;
  const attentionFactor =
    given ?? (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalLength)));
  return { type: 'longrope', shortFactors, longFactors, originalLength, attentionFactor };
}
