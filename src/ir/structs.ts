/**
 * The structs of tables that cross between host and device. Each is declared here once: packages carry it
 * (`definition.json`, `structs`), kernels that plan assert that the C++ struct of the name has these fields at these
 * offsets, and the runtime packs and reads them by field.
 */
import { spanOps } from './spanOps.ts';

export type StructFieldType = 'int32' | 'int64';

export interface StructField {
  readonly name: string;
  readonly type: StructFieldType;
  /** Bytes from the start of the struct. */
  readonly offset: number;
  readonly comment: string;
  /** In C++: a field of a struct in it has that one's name before its own. */
  readonly member: string;
}

export interface Struct<Name extends string = string> {
  /** `Ring`; in C++ `moa::Ring`. */
  readonly name: Name;
  readonly fields: readonly StructField[];
  readonly bytes: number;
}

type Declared = Pick<StructField, 'name' | 'type' | 'comment'> & { readonly of?: string };

const int32 = (name: string, comment: string): Declared => ({ name, type: 'int32', comment });
const int64 = (name: string, comment: string): Declared => ({ name, type: 'int64', comment });
/** Fields of the member `of` of a struct. */
const inside = (of: string, fields: readonly Declared[]): readonly Declared[] =>
  fields.map((field) => ({ ...field, of }));

const sizeOf = (type: StructFieldType): number => (type === 'int64' ? 8 : 4);

function struct<Name extends string>(name: Name, declared: readonly Declared[]): Struct<Name> {
  let offset = 0;
  const fields = declared.map(({ name: field, type, comment, of }): StructField => {
    const size = sizeOf(type);
    const at = Math.ceil(offset / size) * size;
    offset = at + size;
    return { name: field, type, offset: at, comment, member: of === undefined ? field : `${of}.${field}` };
  });
  const alignment = Math.max(...fields.map(({ type }) => sizeOf(type)));
  return { name, fields, bytes: Math.ceil(offset / alignment) * alignment };
}

const segmentFields: readonly Declared[] = [
  int32('slot', 'sequence'),
  int32('kvHead', 'whose ring it is'),
  int32('tableOffset', "of the ring's first page in the page table of its layer"),
  int32('window', 'of the ring'),
  int32('pageBegin', 'first page of the run, counted in the ring'),
  int32('pageEnd', 'one past its last page'),
  int32('split', 'number of its first piece among those of the ring'),
  int32('splits', 'pieces of the ring; 0: of none'),
  int32('firstPartial', 'partial result of piece 0; unused with one piece'),
  int32('runs', 'segments of the ring; of none 1 for a slot without new tokens, whose rows become 0, else 0'),
  int32('firstRow', 'of its rows of queries'),
  int32('row', "of the sequence's new token among those of all"),
];

const declared = [
  struct('Ring', [
    int32('tableOffset', 'of its first page in the page table of its layer'),
    int32('window', 'tokens behind the sink that it holds'),
  ]),
  struct('PagedLayer', [
    int64('firstEntry', "of the layer's part of the page table"),
    int32('classIndex', 'number of its class in the session'),
    int32('sink', 'tokens'),
  ]),
  struct('SpanRule', [
    int32('alpha', 'tokens'),
    int32('numerator', 'of what a token of the length bound adds'),
    int32('denominator', 'at least 1'),
  ]),
  struct('SpanStep', [int32('op', 'a SpanOp'), int32('value', 'what it says beside the operation')]),
  struct('PlannedSegment', [
    ...inside('segment', segmentFields),
    int32('next', "the block's next segment, or -1"),
    int32('firstEnd', 'one past the last page of its first piece'),
    int32('step', 'pages of the pieces behind it, at least'),
    int32('fraction', 'pieces of the sequence, remainder, and rest at firstEnd: ten bits each'),
  ]),
  struct('PrefillItem', [
    int32('firstToken', "row of the sequence's first new token in q, k, v and out"),
    int32('length', 'new tokens of the sequence'),
    int32('queryBlock', 'number of the block of query rows among those of the sequence'),
    int32('head', 'query head'),
    int32('window', "the head's window in tokens"),
    int32('cached', 'tokens in the ring'),
    int32('tableOffset', "of the ring's first page in the page table of its layer"),
    int32('ringWindow', "tokens behind the ring's sink that it holds"),
    int32('firstPage', 'of the pages that its rows visit, those from this one on'),
    int32('pages', 'so many'),
    int32('part', '-1, or the number of its partial result: item part ^ 1 visits the other pages of these rows'),
    int32('newest', 'window slot of the newest cached token; 0 where none lies behind the sink'),
  ]),
  struct('PrefillPlanSize', [
    int64('pages', 'that all items visit together'),
    int32('count', 'items'),
    int32('parts', 'items that are one of two'),
    int32('overflow', '1: there are more items than the list has space for; the other numbers are 0 then'),
    int32('unused', ''),
  ]),
] as const;

export type StructName = (typeof declared)[number]['name'];

export const structs = Object.fromEntries(declared.map((each) => [each.name, each])) as Readonly<
  Record<StructName, Struct>
>;

export const isStructName = (name: string): name is StructName => Object.hasOwn(structs, name);

/** Changes of one sequence, and the begin of a session, in the order of `moa::SequenceOperation`. */
export const sequenceOperations = ['add', 'remove', 'fork', 'truncate', 'begin'] as const;
export type SequenceOperation = (typeof sequenceOperations)[number];

/** Enumerations that host and device share: their values count from 0, in this order. */
export const enums = { SequenceOperation: sequenceOperations, SpanOp: spanOps } as const;
export type EnumName = keyof typeof enums;
