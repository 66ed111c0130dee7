import { Listr } from 'listr2';

export interface Progress {
  readonly step: (done: number, total: number, name: string) => void;
  readonly end: () => Promise<void>;
}

/** Progress of the machine code on a terminal; nothing elsewhere. */
export function startProgress(interactive: boolean, architectures: readonly string[]): Progress {
  if (!interactive) return { step: () => {}, end: async () => {} };
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const title = `compiling for ${architectures.join(', ')}`;
  let update: (text: string) => void = () => {};
  const tasks = new Listr([
    {
      title,
      task: async (_context, task) => {
        update = (text) => (task.title = text);
        await finished;
      },
    },
  ]);
  const running = tasks.run();
  return {
    step: (done, total, name) => update(`${title}: ${done} of ${total}, ${name}`),
    end: async () => {
      finish();
      await running;
    },
  };
}
