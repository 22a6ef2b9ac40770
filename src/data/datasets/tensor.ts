import { UserError } from '../../diagnostics/diagnostic.ts';
import { defineDataset } from '../definition.ts';

/** For models that a program calls on tensors of its own: says what they look like, and brings no samples. */
export const tensor = defineDataset({
  name: 'tensor',
  description: 'samples that a program brings itself, [batch, time, features]; for library use',
  params: {
    features: { type: 'integer', min: 1, max: 65535, description: 'features of a time step' },
    classes: { type: 'integer', min: 1, max: 65535, description: 'classes, or features of the output sequence' },
    step: {
      type: 'quantity',
      unit: 's',
      min: 0,
      exclusive: true,
      default: null,
      description: 'duration of a time step',
    },
  },
  describe: ({ features, classes, step }) => ({ kind: 'steps', features, classes, set: 'real', stepDuration: step }),
  open: async () => {
    const message = 'the source "tensor" has no samples; train on a dataset, or call the model from a program';
    throw new UserError('SP709', message, { exitCode: 2 });
  },
});
