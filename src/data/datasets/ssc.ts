import { defineDataset } from '../definition.ts';
import { openSpikeFolder } from '../spikeThread.ts';

const UNITS = 700;
const CLASSES = 35;

export const ssc = defineDataset({
  name: 'ssc',
  description: 'Spiking Speech Commands: 35 spoken words as spikes of 700 units (Cramer et al. 2020)',
  params: {
    folder: { type: 'path', description: 'folder with ssc_train.h5, ssc_valid.h5 and ssc_test.h5' },
  },
  describe: () => ({ kind: 'spikes', features: UNITS, classes: CLASSES }),
  open: ({ folder }) =>
    openSpikeFolder({
      dataset: 'ssc',
      folder,
      files: { train: 'ssc_train.h5', validation: 'ssc_valid.h5', test: 'ssc_test.h5' },
      units: UNITS,
      classes: CLASSES,
      origin: 'https://zenkelab.org/datasets/',
    }),
});
