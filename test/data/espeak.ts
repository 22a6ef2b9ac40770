import { createRequire } from 'node:module';

const PACKAGE = '@echogarden/espeak-ng-emscripten';

/** The module of the optional package; says loudly that tests are skipped where it is not installed. */
export const espeakFile = ((): string | null => {
  try {
    return createRequire(import.meta.url).resolve(PACKAGE);
  } catch {
    console.warn(`SKIPPED: tests of spoken_digits, because ${PACKAGE} is not installed`);
    return null;
  }
})();
export const hasEspeak = espeakFile !== null;
