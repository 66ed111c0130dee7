/** How implementations look in figures. Colours that are told apart by most eyes (Okabe and Ito), ours dark and round. */
import { isPeer, type peers } from '../lib/implementations.ts';
import type { LineStyle } from './svg.ts';

const ourStyles: readonly LineStyle[] = [
  { colour: '#0072b2', marker: 'circle' },
  { colour: '#56b4e9', marker: 'circle' },
  { colour: '#009e73', marker: 'circle' },
  { colour: '#7b4fb5', marker: 'circle' },
  { colour: '#a6005a', marker: 'circle' },
  { colour: '#6b7d00', marker: 'circle' },
];

const peerStyles: Readonly<Record<keyof typeof peers, LineStyle>> = {
  flash: { colour: '#d55e00', marker: 'square' },
  cudnn: { colour: '#e69f00', marker: 'square' },
  flex: { colour: '#cc79a7', marker: 'diamond' },
  'heads-flash': { colour: '#8c8c8c', marker: 'diamond' },
  'heads-cudnn': { colour: '#333333', marker: 'diamond' },
  'flash-varlen': { colour: '#a34a00', marker: 'square' },
  'cudnn-varlen': { colour: '#b07a00', marker: 'square' },
};

export const ceiling: LineStyle = { colour: '#777777', dash: 'dotted' };

/** The style of each of `implementations`. */
export function styleOf(implementation: string, implementations: readonly string[]): LineStyle {
  if (isPeer(implementation)) return peerStyles[implementation];
  const ours = implementations.filter((name) => !isPeer(name));
  return ourStyles[ours.indexOf(implementation) % ourStyles.length]!;
}

/** Peers first, so that ours are on top. */
export const drawingOrder = (implementations: readonly string[]): string[] => [...implementations.filter(isPeer), ...implementations.filter((name) => !isPeer(name))];

export const thousands = (tokens: number): string => (tokens >= 1024 ? `${tokens / 1024}k` : String(tokens));
