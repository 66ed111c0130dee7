// Stands in for fatbinary: a header, then the images end to end.
import { readFileSync, writeFileSync } from 'node:fs';

const args = process.argv.slice(2);
const output = args.find((arg) => arg.startsWith('--create=')).slice('--create='.length);
const images = args.flatMap((arg) => (arg.startsWith('--image3=') ? [readFileSync(/file=([^,]+)/.exec(arg)[1])] : []));
const content = Buffer.concat(images);
const header = Buffer.alloc(16);
header.writeUInt32LE(0xba55ed50, 0);
header.writeUInt16LE(1, 4);
header.writeUInt16LE(16, 6);
header.writeBigUInt64LE(BigInt(content.length), 8);
writeFileSync(output, Buffer.concat([header, content]));
