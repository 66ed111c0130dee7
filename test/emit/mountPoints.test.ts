import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isMountPoint, mountPoints } from '../../src/emit/mountPoints.ts';
import { scratchFolder, smallFileSystem } from '../toolchain/helpers.ts';

test('a table of mounts, with names that are escaped', () => {
  const table =
    '22 27 0:21 / /proc rw - proc proc rw\n9 1 0:5 / /a\\040b/\xc3\xa4 rw - tmpfs t rw\n';
  expect([...mountPoints(table)]).toEqual(['/proc', '/a b/ä']);
  expect(isMountPoint('/proc', table)).toBe(true);
  expect(isMountPoint('/proc/self', table)).toBe(false);
});

test.skipIf(!existsSync('/proc/self/mountinfo'))('this system', (context) => {
  const folder = scratchFolder();
  expect(isMountPoint(folder)).toBe(false);
  const disk = smallFileSystem(16);
  if (disk === undefined) return context.skip('mounting is not permitted');
  try {
    expect(isMountPoint(disk.folder)).toBe(true);
  } finally {
    disk.unmount();
  }
});
