import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The packages whose version can change a result. */
const PACKAGES = [
  '@tensorflow/tfjs-core',
  '@tensorflow/tfjs-backend-cpu',
  '@tensorflow/tfjs-backend-wasm',
  '@tensorflow/tfjs-node',
  '@tensorflow/tfjs-node-gpu',
  'onnxruntime-node',
  'h5wasm',
];

/** sparchc's own version. */
export function sparchcVersion(): string {
  return versionIn(root);
}

/** Versions of sparchc, Node and the installed packages that compute. */
export function versions(): Record<string, string> {
  const packages = PACKAGES.flatMap((name) => {
    const version = packageVersion(name);
    return version === null ? [] : [[name, version]];
  });
  return { sparchc: sparchcVersion(), node: process.versions.node, ...Object.fromEntries(packages) };
}

/** The version of an installed package, found as Node finds packages, or null where it is not installed. */
export function packageVersion(name: string): string | null {
  for (let folder = root; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return versionIn(candidate);
    if (dirname(folder) === folder) return null;
  }
}

function versionIn(folder: string): string {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
}
