/** What an evaluation may have. */

/** Ways to spend as many KV slots as a plan. */
export const BASELINES = ['uniform', 'streaming-llm', 'duo-attention'] as const;
export type Baseline = (typeof BASELINES)[number];

/** Kinds of questions: python/moa_compile/tasks. */
export const KINDS = ['lines', 'pairs', 'needles', 'facts'] as const;
