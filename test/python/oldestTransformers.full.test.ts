/** What runs models is tested once more with the oldest transformers that the package takes: caches, masks, steps of generation and modules are those of its major version. */
import { describe, test } from 'vitest';
import { importObstacle, oldestPythonPath, pythonObstacle, runSuite, suiteOf, titleOf, warnWhereSkipped } from './support.ts';

const ofModels = importObstacle(oldestPythonPath, 'torch', 'transformers', 'safetensors');
const suites = [
  suiteOf('models of Hugging Face, transformers 4', 'hf', oldestPythonPath, ofModels),
  suiteOf('the benchmarks, transformers 4', 'bench', oldestPythonPath, ofModels),
  suiteOf('models over ranks, transformers 4', 'tp', oldestPythonPath, ofModels),
  suiteOf('the search, transformers 4', 'search', oldestPythonPath, pythonObstacle(oldestPythonPath)),
];

suites.forEach(warnWhereSkipped);

describe.each(suites)('Python', (suite) => {
  test.skipIf(suite.reason !== undefined)(titleOf(suite), { timeout: 600_000 }, () => runSuite(suite));
});
