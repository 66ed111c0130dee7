const cleanups = new Set<() => void>();
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
let installed = false;

/** Asks for `cleanup` to be called, synchronously, if a signal ends the process before the function returned is called. */
export function onInterrupt(cleanup: () => void): () => void {
  cleanups.add(cleanup);
  return () => {
    cleanups.delete(cleanup);
  };
}

/**
 * From now on SIGINT, SIGTERM and SIGHUP first remove what is temporary (unfinished packages, compilers still running, their
 * folders), then end the process as that signal would. For the command line: a library must not take a program's signals.
 * Calling it again does nothing.
 */
export function cleanupOnSignal(): void {
  if (installed) return;
  installed = true;
  for (const signal of signals) process.once(signal, endWith);
}

/** Leaves Ctrl-C to a child process on the same terminal, which gets it as well, until the function returned is called. */
export function leaveInterruptsToChild(): () => void {
  const ignore = (): void => {};
  process.on('SIGINT', ignore);
  process.removeListener('SIGINT', endWith);
  return () => {
    if (installed) process.once('SIGINT', endWith);
    process.removeListener('SIGINT', ignore);
  };
}

function endWith(signal: NodeJS.Signals): void {
  for (const name of signals) process.removeListener(name, endWith);
  // The last first: compilers are killed before their folders go.
  for (const cleanup of [...cleanups].reverse()) {
    try {
      cleanup();
    } catch {
      // The others still have to run; what stays is removed by the next run.
    }
  }
  process.kill(process.pid, signal);
}
