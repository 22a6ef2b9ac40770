/** How numbers are shown to people. */
export function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)}%`;
}

/** 0.01, 0.00343, 1e-6. */
export function learningRate(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** 8.2s, 3:07, 1:02:45. */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)}s`;
  const total = Math.round(seconds);
  if (total < 60) return `${total}s`;
  const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
  const tail = String(total % 60).padStart(2, '0');
  return hours === 0 ? `${minutes}:${tail}` : `${hours}:${String(minutes).padStart(2, '0')}:${tail}`;
}

/** Seconds as 0.1 ms or 14.1414 ms. */
export function milliseconds(seconds: number): string {
  return `${Number((1000 * seconds).toPrecision(6))} ms`;
}

/** 1,234,567. */
export function count(n: number): string {
  // `toLocaleString` takes 15 ms at its first call.
  return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** An argument as a shell wants it. */
export function shellQuote(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}

/** Rows of cells as lines with aligned columns; the first row is the header. Numbers are aligned to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const isNumeric = widths.map((_, column) => rows.slice(1).every((row) => /^[\d.,]*$/.test(row[column])));
  const pad = (cell: string, column: number) =>
    isNumeric[column] ? cell.padStart(widths[column]) : cell.padEnd(widths[column]);
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}

/** Text from a file, such as a class's name, as a terminal may see it. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}
