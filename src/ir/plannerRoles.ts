/** What kernels that plan do: `changeSequence` changes one sequence; `step` takes pages for new tokens and plans decode; `planPrefill` makes the work items of prefill. */
export type PlannerRole = 'changeSequence' | 'step' | 'planPrefill';
