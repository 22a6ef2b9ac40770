import { createRequire } from 'node:module';

const PACKAGE = '@echogarden/espeak-ng-emscripten';

/** Whether the optional package is installed; says loudly that tests are skipped where it is not. */
export const hasEspeak = ((): boolean => {
  try {
    createRequire(import.meta.url).resolve(PACKAGE);
    return true;
  } catch {
    console.warn(`SKIPPED: tests of spoken_digits, because ${PACKAGE} is not installed`);
    return false;
  }
})();
