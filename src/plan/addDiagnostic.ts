import type { Diagnostic, DiagnosticList } from '../util/diagnostics.ts';
import type { PlanCode } from './codes.ts';
import type { Place } from './planSchema.ts';

/** Another place that a diagnostic is about, and what that says. */
export interface OtherPlace {
  readonly says: string;
  readonly place?: Place | undefined;
}

/** Adds a diagnostic of what is written at `place`; flags and defaults are written nowhere. */
export function addDiagnostic(
  diagnostics: DiagnosticList,
  severity: Diagnostic['severity'],
  code: PlanCode,
  place: Place | undefined,
  message: string,
  help?: string,
  other?: OtherPlace,
): void {
  const related = other?.place && [{ message: other.says, location: other.place.location }];
  diagnostics.add({
    code,
    severity,
    message,
    ...place,
    ...(related === undefined ? {} : { related }),
    ...(help === undefined ? {} : { help }),
  });
}
