import { RuntimeError } from '../../src/runtime/index.ts';

/** The RuntimeError that `run` throws; any other outcome fails the test. */
export function failure(run: () => unknown): RuntimeError {
  try {
    run();
  } catch (error) {
    if (error instanceof RuntimeError) return error;
    throw new Error(`not a RuntimeError: ${String(error)}`, { cause: error });
  }
  throw new Error('nothing was thrown');
}
