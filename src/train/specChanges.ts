import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { parse } from 'yaml';
import { UserError } from '../diagnostics/diagnostic.ts';
import type { RunFolder } from './runFolder.ts';
import { lockName } from './runLock.ts';

/**
 * A resumed run must be the one in the folder: of its spec, only `train.epochs` may grow and the data may have moved.
 * Throws UserError SP822 where there is no run, SP823 where the spec has changed.
 */
export async function requireSameRun(folder: RunFolder, resolvedYaml: string): Promise<void> {
  const entries = await folder.entries();
  // A run killed before it had saved its spec leaves its lock or an unfinished file.
  if (entries?.every((name) => name === 'spec.resolved.yaml.tmp' || name === lockName)) return;
  if (!entries?.includes('spec.resolved.yaml')) {
    throw new UserError('SP822', `there is no run to resume in "${folder.path}"; leave out --resume to start one`, {
      exitCode: 2,
    });
  }
  const changes = differences(await readSpec(folder.spec), parse(resolvedYaml)).filter(
    (c) => !isMoreEpochs(c) && !isMovedData(c),
  );
  if (changes.length === 0) return;
  const list = changes.map(({ path, before, after }) => `${path} was ${show(before)} and is ${show(after)}`);
  throw new UserError(
    'SP823',
    `the spec has changed since the run in "${folder.path}" began: ${list.join('; ')}; ` +
      'resume with the spec it had (only train.epochs may grow), or start another run with --out',
    { exitCode: 2 },
  );
}

async function readSpec(path: string): Promise<unknown> {
  try {
    return parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new UserError('SP822', `the run's spec "${path}" cannot be read, so it cannot be resumed`, { cause });
  }
}

interface Change {
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

function isMoreEpochs({ path, before, after }: Change): boolean {
  return path === 'train.epochs' && typeof before === 'number' && typeof after === 'number' && after > before;
}

/** A file or folder (data, or the weights it started from) of the same name elsewhere; the spec's hash does not see it either. */
function isMovedData({ path, before, after }: Change): boolean {
  if (typeof before !== 'string' || typeof after !== 'string' || !/^(data\.source\.|train\.init$)/.test(path))
    return false;
  return before.includes('/') && basename(before) === basename(after);
}

/** Where two YAML documents differ, as paths to leaves. */
function differences(before: unknown, after: unknown, path = ''): Change[] {
  if (!isTree(before) || !isTree(after)) return Object.is(before, after) ? [] : [{ path, before, after }];
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].flatMap((key) => differences(before[key], after[key], path ? `${path}.${key}` : key));
}

function isTree(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function show(value: unknown): string {
  const text = value === undefined ? 'absent' : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
