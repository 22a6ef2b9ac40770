import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/**
 * Each folder here holds a spec with mistakes, the command that meets them (`check spec.yaml` unless a file `command`
 * says otherwise) and the exact words and exit code expected. After a deliberate change of a message:
 *
 *     UPDATE_EXPECTED=1 npx vitest run test/diagnostics && git diff test/diagnostics
 */
const here = fileURLToPath(new URL('.', import.meta.url));
const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const cases = readdirSync(here, { withFileTypes: true })
  .filter((f) => f.isDirectory())
  .map((f) => f.name);

describe('mistakes are explained', () => {
  it.concurrent.each(cases)('%s', async (name) => {
    const actual = await run(join(here, name));
    const expectedFile = join(here, name, 'expected.txt');
    if (process.env.UPDATE_EXPECTED) writeFileSync(expectedFile, actual);
    expect(actual).toBe(readFileSync(expectedFile, 'utf8'));
    expect(actual, 'no stack trace').not.toMatch(/^\s+at .*:\d+:\d+/m);
    expect(actual, 'a code').toMatch(/SP\d\d\d/);
  });
});

/** In a copy, so that a run folder it may leave behind is not left here. */
async function run(folder: string): Promise<string> {
  const copy = mkdtempSync(join(tmpdir(), 'sparchc-diagnostics-'));
  cpSync(folder, copy, { recursive: true });
  const command = join(folder, 'command');
  const args = existsSync(command) ? readFileSync(command, 'utf8').trim().split(' ') : ['check', 'spec.yaml'];
  try {
    return await new Promise((resolve) => {
      execFile(process.execPath, [cli, ...args], { cwd: copy }, (error, _stdout, stderr) => {
        resolve(`${stderr.replaceAll(copy, '.')}exit code ${error ? error.code : 0}\n`);
      });
    });
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}
