/** The tests of the Python package, where there is a Python with what they need. */
import { describe, test } from 'vitest';
import { repositoryPath } from '../cli/installed.ts';
import { importObstacle, packageFolder, pythonObstacle, pythonPath, runSuite, type Suite, titleOf, torchObstacle, warnWhereSkipped } from './support.ts';

const ofPackage = (folder: string): Pick<Suite, 'python' | 'where' | 'cwd'> => ({ python: pythonPath, where: ['-s', `tests/${folder}`, '-t', '.'], cwd: packageFolder });

const suites: readonly Suite[] = [
  { name: 'the runtime', ...ofPackage('runtime'), reason: torchObstacle() },
  { name: 'models of Hugging Face', ...ofPackage('hf'), reason: importObstacle(pythonPath, 'torch', 'transformers') },
  { name: 'the benchmarks', ...ofPackage('bench'), reason: importObstacle(pythonPath, 'torch', 'transformers') },
  { name: 'models over ranks', ...ofPackage('tp'), reason: importObstacle(pythonPath, 'torch', 'transformers', 'safetensors') },
  { name: 'the search', ...ofPackage('search'), reason: pythonObstacle() },
  { name: 'the evidence', python: pythonPath, where: ['-s', 'bench/search/evidence', '-p', 'test_*.py'], cwd: repositoryPath(''), reason: pythonObstacle() },
];

suites.forEach(warnWhereSkipped);

describe.each(suites)('Python', (suite) => {
  test.skipIf(suite.reason !== undefined)(titleOf(suite), { timeout: 600_000 }, () => runSuite(suite));
});
