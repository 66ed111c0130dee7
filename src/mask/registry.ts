import type { MaskFamily } from './mask.ts';
import { sinkWindow } from './sinkWindow.ts';

/** The mask shapes that kernels can be emitted for, by name, each made for a sink in tokens. */
export const maskShapes: Readonly<Record<string, MaskFamily>> = Object.freeze({ sinkWindow });
