/** A package of a model of which not all layers have attention: its sessions know layers by their numbers in the model. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PlanDefinition } from '../../src/ir/planDefinition.ts';
import { Device, type DeviceBuffer } from '../../src/runtime/index.ts';
import { compileSpec, type PlanSpec } from '../properties/plans.ts';
import { notingPlan, rolesOf, taken } from './fakes/kernels.ts';

/** Three layers with different rules, which are the layers 3, 7 and 11 of their model. */
const spec: PlanSpec = { shape: 'bf16_d64_2x2', rules: [[[128, 0, 1], [0, 1, 1]], [[128, 0, 1], [128, 0, 1]], [[0, 1, 1], [0, 1, 1]]], rope: false };
const numbers = [3, 7, 11];

let device: Device;
let tensor: DeviceBuffer;
beforeAll(async () => {
  device = await Device.open('emulator');
  tensor = device.alloc(1 << 16);
});
afterAll(() => device.dispose());

function planOf(): ReturnType<typeof notingPlan> {
  const { definition } = compileSpec(spec);
  const numbered: PlanDefinition = { ...definition, shape: { ...definition.shape, layerNumbers: numbers } };
  return notingPlan(device, numbered);
}

const code = (number: string, message: string) => expect.objectContaining({ code: number, message: expect.stringContaining(message) });

test('calls take the numbers of the model, and no others', () => {
  const { plan, launches } = planOf();
  using session = plan.createSession({ batch: 1, lengthBound: 256 });
  const tensors = { q: tensor, k: tensor, v: tensor, out: tensor };
  taken(launches);
  for (const layer of numbers) session.decode(layer, tensors);
  expect(rolesOf(launches)).toEqual(['step', 'decode', 'decode', 'decode']);
  for (const layer of numbers) expect(session.lengths(layer)).toEqual(Int32Array.of(1));
  for (const layer of [0, 1, 2, 4, 12]) expect(() => session.decode(layer, tensors)).toThrow(code('MOA6102', `the session has no layer ${layer}; it has layers 3 7 11`));
  expect(launches).toHaveLength(4);
});

test('each number is the layer of its row of the plan', () => {
  const { plan } = planOf();
  using session = plan.createSession({ batch: 1, lengthBound: 256 });
  expect([...session.windows(3)]).toEqual([64, 192]);
  expect([...session.windows(7)]).toEqual([64, 64]);
  expect([...session.windows(11)]).toEqual([192, 192]);
});

test('memory and the layers of a session are by them too', () => {
  const { plan } = planOf();
  expect(plan.memory({ batch: 1, lengthBound: 256 }).layers.map(({ layer }) => layer)).toEqual(numbers);
  using session = plan.createSession({ batch: 1, lengthBound: 256, layers: [7, 11] });
  expect(session.memory.layers.map(({ layer }) => layer)).toEqual([7, 11]);
  expect([...session.windows(7)]).toEqual([64, 64]);
  expect(() => plan.createSession({ batch: 1, lengthBound: 256, layers: [0, 3] })).toThrow(code('MOA6106', 'layers[0] is 0; the layers of the model that have attention are 3 7 11'));
  expect(() => plan.createSession({ batch: 1, lengthBound: 256, layers: [7, 12] })).toThrow(code('MOA6106', 'layers[1] is 12'));
});
