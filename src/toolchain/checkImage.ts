/** Checks of what nvcc wrote: on a full disk it reports success and leaves a file that is cut off. */

const elfMagic = 0x464c457f;
const fatbinMagic = 0xba55ed50;
const noBits = 8;
const symbolTable = 2;
const functionSymbol = 2;

/** What is wrong with a cubin: damaged or cut off, or without one of `kernels`. Undefined: nothing. */
export function cubinProblem(image: Uint8Array, kernels: readonly string[]): string | undefined {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  if (image.byteLength < 64) return `it has only ${image.byteLength} bytes`;
  if (view.getUint32(0, true) !== elfMagic) return 'it is not an ELF file';
  if (view.getUint8(4) !== 2 || view.getUint8(5) !== 1) return 'it is not a 64-bit little-endian ELF file';
  const sections = sectionTable(view);
  if (typeof sections === 'string') return sections;
  const names = new Set(sections.flatMap((section) => (section.type === symbolTable ? functionNames(view, section, sections) : [])));
  const missing = kernels.find((kernel) => !names.has(kernel));
  return missing === undefined ? undefined : `it has no kernel ${missing}`;
}

/** What is wrong with a fatbin: damaged or cut off. Undefined: nothing. */
export function fatbinProblem(image: Uint8Array): string | undefined {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  if (image.byteLength < 16) return `it has only ${image.byteLength} bytes`;
  if (view.getUint32(0, true) !== fatbinMagic) return 'it is not a fatbin';
  const size = view.getUint16(6, true) + offsetAt(view, 8);
  return size === image.byteLength ? undefined : `it has ${image.byteLength} bytes, but its header names ${size}`;
}

interface Section {
  readonly type: number;
  readonly offset: number;
  readonly bytes: number;
  readonly link: number;
}

function sectionTable(view: DataView): readonly Section[] | string {
  const cutOff = `it is cut off: it has ${view.byteLength} bytes, but its headers name more`;
  const fits = (offset: number, bytes: number): boolean => offset + bytes <= view.byteLength;
  const [programs, table] = [offsetAt(view, 32), offsetAt(view, 40)];
  const [programBytes, programCount, entryBytes, count] = [54, 56, 58, 60].map((offset) => view.getUint16(offset, true)) as [number, number, number, number];
  if (!fits(programs, programBytes * programCount) || !fits(table, entryBytes * count)) return cutOff;
  if (count === 0 || entryBytes < 64) return 'its section headers are damaged';
  const sections = Array.from({ length: count }, (_, index): Section => {
    const header = table + index * entryBytes;
    return { type: view.getUint32(header + 4, true), offset: offsetAt(view, header + 24), bytes: offsetAt(view, header + 32), link: view.getUint32(header + 40, true) };
  });
  return sections.every((section) => section.type === noBits || fits(section.offset, section.bytes)) ? sections : cutOff;
}

/** The functions that a symbol table defines. */
function functionNames(view: DataView, table: Section, sections: readonly Section[]): string[] {
  const strings = sections[table.link];
  if (strings === undefined) return [];
  const names: string[] = [];
  for (let symbol = table.offset; symbol + 24 <= table.offset + table.bytes; symbol += 24) {
    const isDefined = view.getUint16(symbol + 6, true) !== 0 && offsetAt(view, symbol + 16) > 0;
    if ((view.getUint8(symbol + 4) & 15) !== functionSymbol || !isDefined) continue;
    const name = Buffer.from(view.buffer, view.byteOffset + strings.offset, strings.bytes).subarray(view.getUint32(symbol, true));
    names.push(name.subarray(0, Math.max(0, name.indexOf(0))).toString('latin1'));
  }
  return names;
}

/** A 64-bit offset. Too large for a number means far past any file, which is all that matters. */
const offsetAt = (view: DataView, at: number): number => Number(view.getBigUint64(at, true));
