/** The part of the engine's WebAssembly API that is used here; TypeScript knows it only from the browser's library. */
export interface Memory {
  readonly buffer: SharedArrayBuffer;
  grow(pages: number): number;
}

export type CompiledModule = object;

interface Api {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: true }) => Memory;
  readonly validate: (code: Uint8Array) => boolean;
  readonly Module: new (code: Uint8Array) => CompiledModule;
  readonly Instance: new (
    module: CompiledModule,
    imports: { host: { memory: Memory } },
  ) => { readonly exports: Readonly<Record<string, (...words: number[]) => void>> };
}

export const webAssembly = (globalThis as unknown as { WebAssembly: Api }).WebAssembly;

export const pageBytes = 65536;
