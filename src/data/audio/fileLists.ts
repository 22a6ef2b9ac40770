import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { UserError } from '../../diagnostics/diagnostic.ts';

/** @throws UserError SP701 where it does not exist or is a file; `hint` says what should be in it. */
export function requireFolder(path: string, hint: string): void {
  if (!existsSync(path)) throw new UserError('SP701', `folder "${path}" does not exist; ${hint}`);
  if (!statSync(path).isDirectory()) throw new UserError('SP701', `"${path}" is a file, but must be a folder; ${hint}`);
}

/** The lines of a text file that are not blank. @throws UserError SP701 it does not exist, SP720 it has none. */
export function readList(path: string, hint: string): string[] {
  if (!existsSync(path)) throw new UserError('SP701', `file "${path}" does not exist; ${hint}`);
  const lines = readFileSync(path, 'utf8').split(/\r?\n/);
  const names = lines.map((line) => line.trim()).filter((line) => line !== '');
  if (names.length === 0) throw new UserError('SP720', `"${path}" is empty; it must name a recording in each line`);
  return names;
}

/** Folders in a folder, and the recordings in it, each sorted by name. */
export function entriesOf(folder: string): { readonly folders: string[]; readonly recordings: string[] } {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  const named = entries.filter((e) => !e.name.startsWith('.'));
  return {
    folders: named.filter((e) => e.isDirectory()).map((e) => e.name),
    recordings: named.filter((e) => !e.isDirectory() && /\.(wav|flac)$/i.test(e.name)).map((e) => e.name),
  };
}
