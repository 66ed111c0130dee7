import { Listr, ListrLogger, ProcessOutput } from 'listr2';

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
  const tasks = new Listr([task], { renderer: 'default', rendererOptions: { logger } });
  const running = tasks.run();
  return {
    step: (done, total, name) => update(`${title}: ${done} of ${total}, ${name}`),
    end: async () => {
      finish();
      await running;
    },
  };
}
