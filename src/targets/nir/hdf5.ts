/**
 * HDF5 on bytes in memory: the library sees a file system of its own, so that links in a file from a stranger lead
 * nowhere. The types are shared with `h5wasm/node`, which works on real files.
 */
export type { Dataset, File as H5File, Group } from 'h5wasm';

export async function openHdf5() {
  const { ready, File } = await import('h5wasm');
  const library = await ready;
  // By default HDF5 prints its errors to stderr and goes on.
  library.activate_throwing_error_handler();
  return { File, fileSystem: library.FS };
}
