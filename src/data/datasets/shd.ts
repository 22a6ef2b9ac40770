import { defineDataset } from '../definition.ts';
import { openSpikeFolder } from '../spikeThread.ts';

const UNITS = 700;
const CLASSES = 20;

export const shd = defineDataset({
  name: 'shd',
  description:
    'Spiking Heidelberg Digits: spoken digits in English and German as spikes of 700 units (Cramer et al. 2020)',
  params: {
    folder: { type: 'path', description: 'folder with shd_train.h5 and shd_test.h5' },
  },
  describe: () => ({ kind: 'spikes', features: UNITS, classes: CLASSES }),
  open: ({ folder }) =>
    openSpikeFolder({
      dataset: 'shd',
      folder,
      files: { train: 'shd_train.h5', test: 'shd_test.h5' },
      units: UNITS,
      classes: CLASSES,
      origin: 'https://zenkelab.org/datasets/',
    }),
});
