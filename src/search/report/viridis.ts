/** The colour map viridis (Smith and van der Walt, 2015): even in lightness, so that it can be read without colour vision and in grey. */

export type Rgb = readonly [red: number, green: number, blue: number];

/** Evenly spaced, from low to high. */
export const viridisStops: readonly Rgb[] = [
  [0x44, 0x01, 0x54],
  [0x48, 0x18, 0x6a],
  [0x47, 0x2d, 0x7b],
  [0x42, 0x40, 0x86],
  [0x3b, 0x52, 0x8b],
  [0x33, 0x63, 0x8d],
  [0x2c, 0x72, 0x8e],
  [0x26, 0x82, 0x8e],
  [0x21, 0x91, 0x8c],
  [0x1f, 0xa0, 0x88],
  [0x28, 0xae, 0x80],
  [0x3f, 0xbc, 0x73],
  [0x5e, 0xc9, 0x62],
  [0x84, 0xd4, 0x4b],
  [0xad, 0xdc, 0x30],
  [0xd8, 0xe2, 0x19],
  [0xfd, 0xe7, 0x25],
];

/** @param share from 0 to 1; the nearest of these outside */
export function viridis(share: number): Rgb {
  const position = Math.min(Math.max(share, 0), 1) * (viridisStops.length - 1);
  const below = Math.min(Math.floor(position), viridisStops.length - 2);
  const [from, to] = [viridisStops[below]!, viridisStops[below + 1]!];
  const mix = (channel: 0 | 1 | 2): number => Math.round(from[channel] + (to[channel] - from[channel]) * (position - below));
  return [mix(0), mix(1), mix(2)];
}

/** `#440154`. */
export const hexOf = (colour: Rgb): string => `#${colour.map((channel) => channel.toString(16).padStart(2, '0')).join('')}`;
