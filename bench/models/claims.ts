/** The figures that were asked of whole models, and what a run says of them. */
import { ratio, type Rows } from './results.ts';

export interface Claim {
  readonly figure: string;
  readonly unit: string;
  readonly asked: number;
  readonly direction: 'at least' | 'at most';
  measure(rows: Rows): number | undefined;
}

const atLeast = (figure: string, asked: number, measure: Claim['measure'], unit = 'x'): Claim => ({ figure, unit, asked, direction: 'at least', measure });
const atMost = (figure: string, asked: number, measure: Claim['measure'], unit = 'x'): Claim => ({ figure, unit, asked, direction: 'at most', measure });

/** How many times the tokens a second of one point another has. */
const speed = (ours: string, peer: string): Claim['measure'] => (rows) => ratio(rows.figure(ours, 'tokensPerSecond'), rows.figure(peer, 'tokensPerSecond'));

const k = (tokens: number): string => `${tokens / 1024}k`;
const longest = 16384;

export const claims: readonly Claim[] = [
  ...[4096, 8192, longest].flatMap((tokens) => [
    atLeast(`Vicuna-7B, ${k(tokens)}: bare loop over cuDNN dense`, 1.9, speed(`bare/vicuna-7b/${tokens}/ours/most`, `bare/vicuna-7b/${tokens}/cudnn/most`)),
    atLeast(`Vicuna-7B, ${k(tokens)}: generate() over static cache + torch.compile`, 2, speed(`generate/vicuna-7b/${tokens}/ours/most`, `generate/vicuna-7b/${tokens}/static/most`)),
    atLeast(`Vicuna-7B, ${k(tokens)}: generate() over dynamic cache + sdpa`, 5, speed(`generate/vicuna-7b/${tokens}/ours/most`, `generate/vicuna-7b/${tokens}/dynamic/most`)),
  ]),
  ...[8192, longest].flatMap((tokens) =>
    (
      [
        ['ours', 'published plan', 1.45],
        ['ours-half', 'density 0.5', 1.9],
      ] as const
    ).flatMap(([ours, plan, bare]) => [
      atLeast(`Llama-3-8B, ${k(tokens)}, ${plan}: bare loop over cuDNN dense`, bare, speed(`bare/llama-3-8b/${tokens}/${ours}/most`, `bare/llama-3-8b/${tokens}/cudnn/most`)),
      atLeast(`Llama-3-8B, ${k(tokens)}, ${plan}: generate() over dynamic cache + sdpa`, 4.5, speed(`generate/llama-3-8b/${tokens}/${ours}/most`, `generate/llama-3-8b/${tokens}/dynamic/most`)),
      atLeast(`Llama-3-8B, ${k(tokens)}, ${plan}: generate() over static cache + torch.compile`, 1, speed(`generate/llama-3-8b/${tokens}/${ours}/most`, `generate/llama-3-8b/${tokens}/static/most`)),
    ]),
  ),
  atMost('Vicuna-7B, 16k, batch 1: a step', 5.2, (rows) => rows.figure(`bare/vicuna-7b/${longest}/ours/one`, 'msPerStep'), 'ms'),
  atMost('Llama-3-8B, 16k, batch 1: a step', 5.5, (rows) => rows.figure(`bare/llama-3-8b/${longest}/ours/one`, 'msPerStep'), 'ms'),
  atMost('Llama-3-8B, prompt of 16k, batch 1: first token, of the time of sdpa', 0.92, (rows) => firstToken(rows)),
  atMost('the same: attention in the model, of prefill kernels alone', 1.05, (rows) => attention(rows)),
  atLeast('Vicuna-7B, 16k, equal batch: peak memory of dense over ours', 1.6, (rows) => memory(rows, 'vicuna-7b')),
  atLeast('Llama-3-8B, 16k, equal batch, published plan: bytes that dense takes more, of what its cache takes more', 0.95, (rows) => saved(rows)),
  atMost('a layer in eager decode, host', 25, (rows) => rows.figure(`layer-cost/llama-3-8b/${longest}/ours/one`, 'usPerCall'), 'us'),
];

function firstToken(rows: Rows): number | undefined {
  const of = (implementation: string): number | undefined => rows.figure(`first-token/llama-3-8b/${longest}/${implementation}/one`, 'firstTokenMs');
  return ratio(of('ours'), of('dynamic'));
}

function attention(rows: Rows): number | undefined {
  const id = `first-token/llama-3-8b/${longest}/ours/one`;
  return ratio(rows.figure(id, 'attentionMs'), rows.figure(id, 'kernelMs'));
}

const memory = (rows: Rows, model: string): number | undefined =>
  ratio(rows.figure(`bare/${model}/${longest}/cudnn/most`, 'peakGiB'), rows.figure(`bare/${model}/${longest}/ours/dense`, 'peakGiB'));

/** How much of what the plan saves is saved: 1 where all the rest takes as much as the dense peer's. */
function saved(rows: Rows): number | undefined {
  const [dense, ours] = [`bare/llama-3-8b/${longest}/cudnn/most`, `bare/llama-3-8b/${longest}/ours/dense`];
  const less = (name: 'peakGiB' | 'cacheGiB'): number | undefined => {
    const [more, own] = [rows.figure(dense, name), rows.figure(ours, name)];
    return more === undefined || own === undefined ? undefined : more - own;
  };
  return ratio(less('peakGiB'), less('cacheGiB'));
}

export const holds = ({ asked, direction }: Claim, measured: number): boolean => (direction === 'at least' ? measured >= asked : measured <= asked);
