/** The tests of attached models once more, with the oldest transformers that the package takes: caches, masks and steps of generation are those of its major version. */
import { test } from 'vitest';
import { importObstacle, oldestPythonPath, packageFolder, runSuite, type Suite, titleOf, warnWhereSkipped } from './support.ts';

const suite: Suite = {
  name: 'models of Hugging Face, transformers 4',
  python: oldestPythonPath,
  where: ['-s', 'tests/hf', '-t', '.'],
  cwd: packageFolder,
  reason: importObstacle(oldestPythonPath, 'torch', 'transformers'),
};

warnWhereSkipped(suite);

test.skipIf(suite.reason !== undefined)(titleOf(suite), { timeout: 600_000 }, () => runSuite(suite));
