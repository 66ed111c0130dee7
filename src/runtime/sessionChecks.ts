/** Checks of what a session is given, before any device work. */
import { describeValue } from '../util/describeValue.ts';
import { DeviceBuffer, product, tensorBytes, type TensorFacts } from './buffer.ts';
import type { Device } from './device.ts';
import { RuntimeError, type RuntimeErrorName } from './runtimeError.ts';

const helpOf = {
  usedAfterDispose: 'create a new session',
  sequenceFull: 'create the session with a larger lengthBound, or reset it',
  noSuchLayer: 'layers count from 0',
  badTensor: 'pass a contiguous buffer of the shape in the message',
  badCuSeqlens: 'pass batch + 1 integers from 0 that never fall',
  capture: 'capture calls of decode, and of step with newTokens, one capture at a time',
  badOptions: 'see SessionOptions',
  badCall: 'see DecodeTensors, PrefillTensors and StepTensors',
  badCounts: 'pass an integer from 0 for each slot, no larger than the message says: an array, or in decode a device buffer of int32',
  noSuchSequence:
    'a slot holds a sequence from add or fork to remove; in a session that does not begin with free slots, from the beginning',
  noFreeSlot: 'remove a sequence, or create the session with a larger batch',
  poolFull: 'remove or truncate a sequence, or create the session with more pages',
  tooManyTokens: 'compile the plan with --decode-tokens, and create the session with decodeTokens',
  inStep: 'fork when all layers have the tokens of a step',
  cannotTruncate: 'compile the plan with --slack: rings then keep so many tokens more; or prefill the sequence anew',
} as const satisfies Partial<Record<RuntimeErrorName, string>>;

export function sessionError(name: keyof typeof helpOf, message: string): RuntimeError {
  return new RuntimeError(name, message, helpOf[name]);
}

/** What a call needs a tensor to be. */
interface NeededTensor extends TensorFacts {
  readonly device: Device;
}

/** `buffer` is memory of the device, has room for the elements, and is aligned for 16-byte accesses; one that says what it holds, holds just that. */
export function checkTensor(name: string, buffer: DeviceBuffer, needed: NeededTensor): void {
  const { shape, elementType, device } = needed;
  const fail = (what: string): never => {
    throw sessionError('badTensor', `${name} ${what}`);
  };
  if (!(buffer instanceof DeviceBuffer)) return fail(`is ${buffer === null ? 'null' : typeof buffer}, not a DeviceBuffer`);
  const { address, tensor } = buffer; // of one that was disposed: MOA6005
  if (!device.owns(buffer)) fail('is memory of another device');
  if (tensor !== undefined) {
    if (tensor.elementType !== elementType) fail(`holds ${tensor.elementType}; ${elementType} is needed`);
    if (tensor.shape.at(-1) !== shape.at(-1) || product(tensor.shape.slice(0, -1)) !== product(shape.slice(0, -1))) fail(`is [${tensor.shape.join(', ')}]; [${shape.join(', ')}] is needed`);
  }
  if (buffer.bytes < tensorBytes(needed)) fail(`has ${buffer.bytes} bytes; [${shape.join(', ')}] needs ${tensorBytes(needed)}`);
  if (address % 16n !== 0n) fail('begins at an address that is not a multiple of 16 bytes');
}

/** A copy of `cuSeqlens`, found legal: `batch + 1` integers from 0, never falling, no sequence longer than the bound. */
export function checkCuSeqlens(cuSeqlens: ArrayLike<number>, batch: number, lengthBound: number): Int32Array {
  if (!Array.isArray(cuSeqlens) && !ArrayBuffer.isView(cuSeqlens)) throw sessionError('badCuSeqlens', `cuSeqlens is ${describeValue(cuSeqlens)}, not an array of numbers`);
  if (cuSeqlens.length !== batch + 1) throw sessionError('badCuSeqlens', `cuSeqlens has ${cuSeqlens.length} entries; a batch of ${batch} needs ${batch + 1}`);
  for (let slot = 0; slot <= batch; slot += 1) {
    const value = cuSeqlens[slot]!;
    const before = slot === 0 ? 0 : cuSeqlens[slot - 1]!;
    if (!Number.isInteger(value) || value < before || value > 0x7fffffff || (slot === 0 && value !== 0)) {
      throw sessionError('badCuSeqlens', `cuSeqlens[${slot}] is ${describeValue(value)}`);
    }
    if (value - before > lengthBound) {
      throw sessionError('sequenceFull', `sequence ${slot - 1} has ${value - before} tokens; the session's length bound is ${lengthBound}`);
    }
  }
  return Int32Array.from(cuSeqlens);
}
