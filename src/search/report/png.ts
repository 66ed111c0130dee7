/** Images of at most 256 colours as PNG (ISO/IEC 15948). */
import { crc32, deflateSync } from 'node:zlib';
import type { Rgb } from './viridis.ts';

export interface IndexedImage {
  readonly width: number;
  readonly height: number;
  /** Row by row, an index into the palette for each pixel. */
  readonly pixels: Uint8Array;
  /** At most 256 colours; the first is transparent. */
  readonly palette: readonly Rgb[];
}

/** NOTE: stored, not compressed, so that the bytes do not depend on the version of zlib. */
const level = 0;

/** `data:image/png;base64,...` */
export function pngDataUri({ width, height, pixels, palette }: IndexedImage): string {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8; // bits of an index
  header[9] = 3; // indexed colours
  const rows = Buffer.alloc(height * (width + 1)); // a row begins with its filter: 0, none
  for (let y = 0; y < height; y += 1) rows.set(pixels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const file = Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('PLTE', Buffer.from(palette.flat())),
    chunk('tRNS', Buffer.of(0)),
    chunk('IDAT', deflateSync(rows, { level })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
  return `data:image/png;base64,${file.toString('base64')}`;
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  framed.set(body, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}
