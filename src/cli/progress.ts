import { writeSync } from 'node:fs';
import { Listr, ListrLogger, ProcessOutput } from 'listr2';
import { onInterrupt } from '../emit/cleanupOnSignal.ts';

export interface Progress {
  readonly step: (done: number, total: number, name: string) => void;
  readonly end: () => Promise<void>;
}

/** Progress of long work on the terminal behind stderr, since stdout may carry results; nothing elsewhere. */
export function startProgress(interactive: boolean, title: string): Progress {
  if (!interactive) return { step: () => {}, end: async () => {} };
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => (finish = resolve));
  let update: (text: string) => void = () => {};
  const task = {
    title,
    task: async (_context: unknown, current: { title?: string | undefined }) => {
      update = (text) => (current.title = text);
      await finished;
    },
  };
  const logger = new ListrLogger({ processOutput: new ProcessOutput(process.stderr, process.stderr) });
  // NOTE: where stdout is no terminal listr2 takes the fallback, and its own would write to stdout. Of a signal it would make the exit code 127.
  const tasks = new Listr([task], { renderer: 'default', rendererOptions: { logger }, fallbackRenderer: 'default', fallbackRendererOptions: { logger }, registerSignalListeners: false });
  const running = tasks.run();
  // A signal leaves no time for the renderer's own end: the cursor is shown again, and what follows begins a line.
  const stopListening = onInterrupt(() => void writeSync(2, '\r\u001B[K\u001B[?25h'));
  return {
    step: (done, total, name) => update(`${title}: ${done} of ${total}, ${name}`),
    end: async () => {
      finish();
      await running;
      stopListening();
    },
  };
}
