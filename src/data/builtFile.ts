/**
 * URL of a file of the built program that a thread or process of its own runs; `path` is relative to `dist`. Node 20
 * cannot run TypeScript, so the sources use what was built from them, too.
 */
export function builtFile(caller: string, path: string): URL {
  const root = caller.slice(0, caller.lastIndexOf(caller.endsWith('.ts') ? '/src/' : '/dist/'));
  return new URL(`${root}/dist/${path}`);
}
