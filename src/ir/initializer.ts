/** How a parameter or a state starts. All draws come from the counter-based generator in `random/`. */
export type Initializer =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'uniform'; readonly low: number; readonly high: number }
  | { readonly kind: 'normal'; readonly mean: number; readonly std: number }
  /** A random orthogonal matrix (QR of a Gaussian one), as torch.nn.init.orthogonal_. */
  | { readonly kind: 'orthogonal'; readonly gain: number };
