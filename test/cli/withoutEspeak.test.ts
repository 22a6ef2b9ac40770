import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'sparchc-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** An installation without the optional packages. */
function installWithoutOptional(): void {
  for (const part of ['dist', 'grammar', 'specs', 'package.json'])
    cpSync(part, join(folder, part), { recursive: true });
  mkdirSync(join(folder, 'node_modules'));
  for (const name of readdirSync('node_modules').filter((n) => n !== '@echogarden')) {
    symlinkSync(resolve('node_modules', name), join(folder, 'node_modules', name));
  }
}

it('says how to add eSpeak NG where it was left out, and offers a spec that needs nothing', () => {
  installWithoutOptional();
  const train = () =>
    execFileSync(process.execPath, [join(folder, 'dist/cli/main.js'), 'train', 'specs/quickstart.yaml'], {
      cwd: folder,
      encoding: 'utf8',
      stdio: 'pipe',
      env: { ...process.env, XDG_CACHE_HOME: join(folder, 'cache') },
    });
  expect(train).toThrow(
    expect.objectContaining({
      status: 1,
      stderr: expect.stringMatching(
        /SP730: spoken_digits needs eSpeak NG.*"npm install --no-save @echogarden\/espeak-ng-emscripten@0\.3\.5".*sparchc train specs\/randman\.yaml/,
      ),
    }),
  );
});
