import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Run<Ours, Peers> {
  readonly ours: Ours;
  /** Undefined where no peers were measured. */
  readonly peers: Peers | undefined;
}

/** `NAME-ours.json` and `NAME-peers.json` of a folder. Both have to come from the same kind of device. */
export function readRun<Ours extends { readonly device: string }, Peers extends { readonly device: string }>(folder: string, name: string): Run<Ours, Peers> {
  const read = <File>(path: string): File => JSON.parse(readFileSync(path, 'utf8')) as File;
  const ours = read<Ours>(join(folder, `${name}-ours.json`));
  const path = join(folder, `${name}-peers.json`);
  const peers = existsSync(path) ? read<Peers>(path) : undefined;
  if (peers !== undefined && peers.device !== ours.device) throw new Error(`ours ran on ${ours.device}, the peers on ${peers.device}`);
  return { ours, peers };
}
