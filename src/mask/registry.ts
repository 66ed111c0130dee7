import type { MaskShape } from './mask.ts';
import { sinkWindow } from './sinkWindow.ts';

/** The mask shapes that kernels can be emitted for, by name, each made for a plan's sink in tokens. */
export const maskShapes: Readonly<Record<string, (sink: number) => MaskShape>> = Object.freeze({ sinkWindow });
