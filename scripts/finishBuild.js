// After tsc: the entry point of `bin` must be executable, also when npm links it from a git checkout, and the page of
// `sparchc demo` is not of modules alone.
import { chmodSync, copyFileSync, existsSync } from 'node:fs';

const entry = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(entry)) chmodSync(entry, 0o755);

for (const name of ['index.html', 'style.css']) {
  copyFileSync(
    new URL(`../src/demo/page/${name}`, import.meta.url),
    new URL(`../dist/demo/page/${name}`, import.meta.url),
  );
}
