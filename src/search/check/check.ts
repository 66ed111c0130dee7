/** What a check of a plan found. */
export interface Check {
  readonly name: string;
  readonly status: 'ok' | 'failed' | 'not checked';
  /** What was compared, or why it was not. */
  readonly detail: string;
  readonly figures?: Readonly<Record<string, number>>;
}

export interface PlanCheck {
  /** Whether no check failed. */
  readonly ok: boolean;
  readonly checks: readonly Check[];
  /** Of the certificate. */
  readonly value: number;
  readonly lowerBound: number;
  /** `(value - lowerBound) / value`. */
  readonly gap: number;
  readonly exact?: { readonly lowerBound: number; readonly method: string; readonly gap: number };
}

type Figures = Readonly<Record<string, number>>;

const check = (status: Check['status'], name: string, detail: string, figures?: Figures): Check => ({ name, status, detail, ...(figures === undefined ? {} : { figures }) });

export const ok = (name: string, detail: string, figures?: Figures): Check => check('ok', name, detail, figures);
export const failed = (name: string, detail: string, figures?: Figures): Check => check('failed', name, detail, figures);
export const notChecked = (name: string, detail: string): Check => check('not checked', name, detail);
