import { INPUT_CODES } from '../util/inputCodes.ts';

/** The diagnostics of plans (11xx), of model shapes (12xx), and of other formats (13xx). */
export const PLAN_CODES = {
  MOA1101: 'A plan or model config is not a JSON object.',
  MOA1102: 'A key is unknown.',
  MOA1103: 'A key is missing.',
  MOA1104: 'A value has the wrong type.',
  MOA1105: 'The format or its version is not one this compiler reads.',
  MOA1106: 'A number is outside its range.',
  MOA1107: 'The rows of a matrix have different lengths.',
  MOA1108: 'The number of layers is not 1 to 1024, or two parts of the plan disagree on it.',
  MOA1109: 'The number of query heads is not 1 to 1024, or two parts of the plan disagree on it.',
  MOA1110: 'An alpha is not an integer from -2^24 to 2^24.',
  MOA1111: 'A beta is not a number from 0 to 1.',
  MOA1112: 'A beta is no fraction with a denominator up to 2^30; the nearest one is used.',
  MOA1113: 'The plan has more than 256 different rules.',
  MOA1114: 'The page size is not 64, that of the kernels.',
  MOA1115: 'The sink does not fit into the shortest span.',
  MOA1116: 'The shortest span is not a multiple of the page.',
  MOA1117: 'A name holds characters that are not allowed.',
  MOA1118: 'An element type is not bf16 or fp16.',
  MOA1201: 'The plan and the model have different numbers of layers or heads.',
  MOA1202: 'The model config and the plan disagree on the model.',
  MOA1203: 'A flag overrides what the plan or the model config says.',
  MOA1204: 'The shape of the model is assumed, because nothing says it.',
  MOA1205: 'The query heads cannot be shared out evenly among the KV heads.',
  MOA1206: 'The kernels do not support this head dimension.',
  MOA1207: 'The kernels do not support so many query heads for one KV head.',
  MOA1220: 'The plan was made for a model whose layers have other windows.',
  MOA1301: 'It is not certain which format an input has.',
  MOA1302: 'The number of KV heads is not 1 to 1024.',
  MOA1303: 'A score is no finite number, or the input is no table of scores.',
  MOA1304: 'The input has to be completed: by an option, a file beside it, or the shape of the model.',
  MOA1305: 'A sink or a window is rounded up to whole pages; heads attend more than the input says.',
  MOA1306: 'An option is not one of this input format.',
  MOA1307: "A model's window is not whole pages.",
  MOA1308: 'The model attends in a way that no plan says.',
  MOA1309: 'It is not known which layers of this model type have a window.',
  MOA1310: 'Heads tie at the threshold; their order decides.',
  MOA1311: 'StreamingLLM counts positions in the cache, these kernels in the sequence.',
  MOA1312: 'The model may have learned sinks, which its config does not say.',
  MOA1321: 'A pattern of MInference: what a head attends is found for each prompt.',
  MOA1322: 'Arguments of PyramidKV, SnapKV or the like: tokens are chosen by their scores at run time.',
  MOA1323: 'Arguments of Quest or the like: pages are chosen for each query at run time.',
  MOA1324: 'Head scores of HeadKV: budgets are made of them, and tokens chosen, at run time.',
} as const;

export type PlanCode = keyof typeof PLAN_CODES;

/** Every 1xxx code and what it means; `docs/diagnostics.md` is checked against it. */
export const CODES = { ...INPUT_CODES, ...PLAN_CODES } as const;
