import { invariant } from '../../util/invariant.ts';
import type { ReportPlan, SearchReport } from './searchReport.ts';

/** The point of the front that the search chose. */
export function chosenPlan({ plans, chosen }: SearchReport): ReportPlan {
  const plan = plans.find(({ id }) => id === chosen);
  invariant(plan !== undefined, `the chosen plan ${chosen} is not of the front`);
  return plan;
}
