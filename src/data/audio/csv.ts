/** A row of a table by the names in its first row. */
export type Row = Readonly<Record<string, string>>;

/** Comma-separated values with a header (RFC 4180): fields in double quotes may hold commas, quotes ("") and line breaks. */
export function parseCsv(text: string): Row[] {
  const [header = [], ...rows] = records(text.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n'));
  const names = header.map((name) => name.trim());
  return rows.map((row) => Object.fromEntries(names.map((name, i) => [name, (row[i] ?? '').trim()])));
}

function records(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  for (const [, quoted, plain = '', end] of text.matchAll(/(?:"((?:[^"]|"")*)"[ \t]*|([^,\n]*))(,|\n|$)/g)) {
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === ',') continue;
    if (row.length > 1 || row[0].trim() !== '') rows.push(row);
    row = [];
  }
  return rows;
}
