/** Reads theta, and how many elements of a head turn. */
import { ROTARY_DIM_STEP } from '../ir/rope.ts';
import { joinPath } from '../util/quote.ts';
import { readInteger, readNumber, requireMember } from './readFields.ts';
import { reportKind, type Scope } from './report.ts';
import { NO_ROPE_HELP, type RopeFamily } from './ropeFamilies.ts';

/** Whether `rope_theta` is absent, or a positive number. */
export function isThetaRight({ node, path, report }: Scope): boolean {
  const theta = node.members.get('rope_theta')?.value;
  if (theta === undefined) return true;
  const at = joinPath(path, 'rope_theta');
  if (theta.kind !== 'number') reportKind(report, theta, at, 'a number');
  else if (theta.value <= 0)
    report.error('MOA1106', theta.offset, at, `rope_theta ${theta.value} is not positive`);
  return theta.kind === 'number' && theta.value > 0;
}

const THETAS = { min: 1.001, max: 1e30 } as const;

/** The base of the frequencies: of `section`, else beside it, else the family's. */
export function readTheta(
  config: Scope,
  section: Scope | undefined,
  nested: boolean,
  family: RopeFamily,
): number | undefined {
  const before = config.report.errorCount;
  const key = family.keys?.theta ?? 'rope_theta';
  const inSection = section && readNumber(section, 'rope_theta', THETAS, 'positive');
  const beside =
    readNumber(config, key, THETAS, 'positive') ??
    (key === 'rope_theta' ? undefined : readNumber(config, 'rope_theta', THETAS, 'positive'));
  if (config.report.errorCount > before) return undefined;
  // What layer types have of their own comes before what all have.
  if (
    !nested &&
    section !== undefined &&
    inSection !== undefined &&
    beside !== undefined &&
    inSection !== beside
  ) {
    config.report.error(
      'MOA1403',
      config.node.members.get(key)!.value.offset,
      joinPath(config.path, key),
      `${key} is ${beside}, ${joinPath(section.path, 'rope_theta')} is ${inSection}`,
      { help: 'mend one of them' },
    );
    return undefined;
  }
  const theta = inSection ?? beside ?? family.theta;
  if (theta === undefined) requireMember(config, key, 'the base of the frequencies, such as 10000');
  return theta;
}

/** Elements of a head that turn: a part of the head, or their number. */
export function readRotaryDim(
  config: Scope,
  section: Scope | undefined,
  { keys = {}, partial = 1 }: RopeFamily,
  headDim: number,
): number | undefined {
  const { report } = config;
  const before = report.errorCount;
  const parts = { min: 1e-3, max: 1 };
  const inSection = section && readNumber(section, 'partial_rotary_factor', parts, 'positive');
  const beside =
    readNumber(config, 'partial_rotary_factor', parts, 'positive') ??
    (keys.partial === undefined ? undefined : readNumber(config, keys.partial, parts, 'positive'));
  const elements =
    keys.rotaryDim === undefined
      ? undefined
      : readInteger(config, keys.rotaryDim, { min: 1, max: headDim });
  if (report.errorCount > before) return undefined;
  const part = inSection ?? beside;
  const rotaryDim = elements ?? Math.trunc(headDim * (part ?? partial));
  if (elements !== undefined && part !== undefined && Math.trunc(headDim * part) !== elements) {
    report.error(
      'MOA1403',
      config.node.members.get(keys.rotaryDim!)!.value.offset,
      joinPath(config.path, keys.rotaryDim!),
      `${keys.rotaryDim!} is ${elements}, the part of ${headDim} that turns is ${part}`,
      { help: 'mend one of them' },
    );
    return undefined;
  }
  if (rotaryDim > 0 && rotaryDim % ROTARY_DIM_STEP === 0) return rotaryDim;
  const at =
    section?.node.members.get('partial_rotary_factor') ??
    config.node.members.get('partial_rotary_factor') ??
    config.node.members.get(keys.partial ?? '') ??
    config.node.members.get(keys.rotaryDim ?? '');
  report.error(
    'MOA1404',
    at?.value.offset ?? config.node.offset,
    config.path,
    `${rotaryDim} of ${headDim} elements of a head turn; ` +
      `kernels turn a multiple of ${ROTARY_DIM_STEP}`,
    { help: NO_ROPE_HELP },
  );
  return undefined;
}
