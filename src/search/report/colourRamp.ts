import { html, type Html } from './html.ts';
import { hexOf, viridisStops } from './viridis.ts';

export interface RampTick {
  /** From 0 to 1. */
  readonly at: number;
  readonly label: string;
}

const width = 280;
const margin = 28;
const thickness = 10;

/** The legend of a heat map: colours from low to high, with ticks below. @param id unique in the file */
export function colourRamp(id: string, label: string, ticks: readonly RampTick[]): Html {
  const stops = viridisStops.map((colour, index) => html`<stop offset="${index / (viridisStops.length - 1)}" stop-color="${hexOf(colour)}"/>`);
  const marks = ticks.map(({ at, label: text }) => {
    const x = (margin + at * width).toFixed(1);
    return html`<path d="M${x},${thickness}v4" stroke="currentColor"/><text x="${x}" y="27" text-anchor="middle">${text}</text>`;
  });
  return html`<div class="ramp"><span>${label}</span>
<svg class="plot" role="img" aria-label="${label}: ${ticks.map((tick) => tick.label).join(', ')}" viewBox="0 0 ${width + 2 * margin} 32" width="${width + 2 * margin}" height="32">
<linearGradient id="${id}">${stops}</linearGradient>
<rect x="${margin}" y="0" width="${width}" height="${thickness}" fill="url(#${id})"/>${marks}</svg></div>`;
}
