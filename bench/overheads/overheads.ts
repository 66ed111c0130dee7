/**
 * What calls of the runtime take beside their kernels: prefill, chunks, sessions, sequences that come, fork and go, decode, and captured steps of any mixture.
 *
 *     node dist-bench/overheads/overheads.js OUT.json [--device emulator --small] plan=variant:folder ...
 *
 * All layers, lengths that a session has not seen before, medians. OUT.json is complete after each row; a table comes last. `--small` is to try the program.
 */
import { parseArgs } from 'node:util';
import { Device } from 'moa-compile/runtime';
import { parsePackage } from '../lib/arguments.ts';
import { table } from '../lib/markdown.ts';
import { openPackage } from '../lib/packages.ts';
import { writeJson } from '../lib/writeJson.ts';
import { measureCalls, smallSizes, usualSizes, type Row } from './calls.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { device: { type: 'string', default: 'cuda:0' }, small: { type: 'boolean', default: false } },
});
const [out, ...packages] = positionals;
if (out === undefined || packages.length === 0) throw new Error('usage: overheads OUT.json [options] plan=variant:folder ...');

const device = await Device.open(values.device as 'cuda:0');
const rows: (Row & { readonly plan: string; readonly implementation: string })[] = [];
for (const argument of packages) {
  const { plan: name, implementation, folder } = parsePackage(argument);
  using plan = await openPackage(folder).load(device);
  measureCalls(device, plan, values.small ? smallSizes : usualSizes, (row) => {
    rows.push({ plan: name, implementation, ...row });
    writeJson(out, { device: device.name, command: 'node dist-bench/overheads/overheads.js', rows });
  });
}
const text = (value: number | undefined): string => (value === undefined ? '-' : String(value));
console.log(table(['plan', 'for', 'call', 'ms', 'of the host', 'its kernels', 'MiB held'], rows.map((row) => [row.plan, row.implementation, row.call, text(row.ms), text(row.hostMs), text(row.kernelsMs), text(row.heldBytes === undefined ? undefined : Math.round(row.heldBytes / 2 ** 20))])));
device.dispose();
