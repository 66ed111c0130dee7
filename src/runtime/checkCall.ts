/** Calls of a session refuse keys that they do not read, so that a misspelled one is not ignored. */
import { checkOptions } from './checkOptions.ts';
import { sessionError } from './sessionChecks.ts';
import type { DecodeTensors, AddOptions, PrefillTensors, StepTensors } from './sessionTypes.ts';

const addKeys: Readonly<Record<keyof AddOptions, true>> = Object.freeze({ lengthBound: true });
/** Tensors of a prefill may be those of a decode as well: of what else they come with, `cuSeqlens` has nothing to say there. */
const decodeKeys: Readonly<Record<keyof DecodeTensors | 'cuSeqlens', true>> = Object.freeze({ q: true, k: true, v: true, out: true, lse: true, tokens: true, counts: true, cuSeqlens: true });
const prefillKeys: Readonly<Record<keyof PrefillTensors, true>> = Object.freeze({ q: true, k: true, v: true, out: true, lse: true, cuSeqlens: true });

export function checkAddKeys(options: AddOptions): void {
  checkOptions('add', options, addKeys, (message) => sessionError('badOptions', message));
}

export function checkDecodeKeys(tensors: DecodeTensors): void {
  checkOptions('decode', tensors, decodeKeys, (message) => sessionError('badCall', message));
}

export function checkStepKeys(tensors: StepTensors): void {
  checkOptions('step', tensors, prefillKeys, (message) => sessionError('badCall', message));
}

export function checkPrefillKeys(tensors: PrefillTensors): void {
  checkOptions('prefill', tensors, prefillKeys, (message) => sessionError('badCall', message));
}
