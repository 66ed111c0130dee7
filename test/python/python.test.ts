/** The tests of the Python package, where there is a Python with what they need. */
import { describe, test } from 'vitest';
import { repositoryPath } from '../cli/installed.ts';
import { importObstacle, pythonObstacle, pythonPath, runSuite, type Suite, suiteOf, titleOf, torchObstacle, warnWhereSkipped } from './support.ts';

const suites: readonly Suite[] = [
  suiteOf('the runtime', 'runtime', pythonPath, torchObstacle()),
  suiteOf('models of Hugging Face', 'hf', pythonPath, importObstacle(pythonPath, 'torch', 'transformers')),
  suiteOf('the benchmarks', 'bench', pythonPath, importObstacle(pythonPath, 'torch', 'transformers')),
  suiteOf('conversations', 'chat', pythonPath, importObstacle(pythonPath, 'torch', 'transformers')),
  suiteOf('questions about long texts', 'tasks', pythonPath, importObstacle(pythonPath, 'transformers')),
  suiteOf('the calibration', 'calibrate', pythonPath, pythonObstacle()),
  suiteOf('the evaluation', 'evaluate', pythonPath, importObstacle(pythonPath, 'torch', 'transformers')),
  suiteOf('measurements', 'measure', pythonPath, importObstacle(pythonPath, 'torch', 'transformers')),
  suiteOf('models over ranks', 'tp', pythonPath, importObstacle(pythonPath, 'torch', 'transformers', 'safetensors')),
  suiteOf('the search', 'search', pythonPath, pythonObstacle()),
  { name: 'the evidence', python: pythonPath, where: ['-s', 'bench/search/evidence', '-p', 'test_*.py'], cwd: repositoryPath(''), reason: pythonObstacle() },
];

suites.forEach(warnWhereSkipped);

describe.each(suites)('Python', (suite) => {
  test.skipIf(suite.reason !== undefined)(titleOf(suite), { timeout: 600_000 }, () => runSuite(suite));
});
