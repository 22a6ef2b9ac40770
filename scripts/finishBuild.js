// After tsc: the entry point of `bin` must be executable, also when npm links it from a git checkout.
import { chmodSync, existsSync } from 'node:fs';

const entry = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(entry)) chmodSync(entry, 0o755);
