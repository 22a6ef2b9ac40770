import { UserError } from '../diagnostics/diagnostic.ts';

/** What cannot be turned into a network here, all of it at once where several things are in the way. */
export function unsupported(path: string, reasons: readonly string[]): UserError {
  const one = reasons.length === 1;
  const list = one ? ` ${reasons[0]}` : reasons.map((reason) => `\n  - ${reason}`).join('');
  return new UserError('SP873', `"${path}" cannot become a network of sparchc:${list}`);
}

/** A graph whose parts contradict each other. */
export function invalid(path: string, what: string): UserError {
  return new UserError('SP872', `"${path}" is no valid NIR file: ${what}`);
}
