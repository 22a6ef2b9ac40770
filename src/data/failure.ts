import { type Code, UserError } from '../diagnostics/diagnostic.ts';

/** An error on its way from one thread to another. */
export interface Failure {
  readonly kind: 'failed';
  /** What a UserError is made of; null for any other error. */
  readonly user: { readonly code: Code; readonly exitCode: 1 | 2 } | null;
  readonly message: string;
  readonly stack: string | undefined;
}

export function toFailure(error: unknown): Failure {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const user = error instanceof UserError ? { code: error.diagnostic.code, exitCode: error.exitCode } : null;
  return { kind: 'failed', user, message, stack };
}
