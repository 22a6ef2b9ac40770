import { stringify } from 'yaml';
import type { Call } from '../data/config.ts';
import type { LayerConfig } from '../passes/model.ts';
import { callPlaces, transformPlace } from './calls.ts';
import type { Experiment } from './experiment.ts';

/**
 * The experiment as a spec of its own, every default written out: it gives the same experiment when it is read again,
 * from any folder, so neurons from files are included.
 */
export function printResolved(experiment: Experiment): string {
  const { name, seed, license, definitions, data, model, train } = experiment;
  const own = definitions.map((d) => d.text.trimEnd()).join('\n\n');
  const spec = {
    sparchc: 1,
    name,
    seed,
    ...(license !== null && { license }),
    ...(own && { define: `${own}\n` }),
    data: {
      source: plainCall(data.source),
      transforms: data.transforms.map(plainCall),
      validation: plainCall(data.validation),
      padding: data.padding,
    },
    model: { layers: model.layers.map(plainLayer) },
    train: {
      epochs: train.epochs,
      batch: train.batch,
      optimizer: plainCall(train.optimizer),
      schedule: plainCall(train.schedule),
      loss: { type: 'cross_entropy', pool: experiment.lossPool },
      regularizer: experiment.regularizer ? { type: 'firing_rate', ...experiment.regularizer } : 'none',
      // Only where they are set, so that runs from before these options can be resumed.
      ...(train.select !== 'best' && { select: train.select }),
      ...(train.init !== null && { init: train.init }),
      clip_norm: train.clipNorm,
      early_stopping: train.earlyStopping,
      checkpoint_every: `${train.checkpointEvery}s`,
    },
  };
  return stringify(spec, { lineWidth: 0 });
}

/** Quantities get their unit back, without which a spec may not give them. */
function plainCall(call: Call): Record<string, unknown> {
  const definition = callPlaces
    .concat(transformPlace)
    .flatMap((place) => place.definitions)
    .find((d) => d.name === call.type);
  const params = Object.entries(call.params).map(([name, value]) => {
    const spec = definition?.params[name];
    return [name, spec?.type === 'quantity' && value !== null ? `${value}${spec.unit}` : value];
  });
  return { type: call.type, ...Object.fromEntries(params) };
}

function plainLayer(layer: LayerConfig): Record<string, unknown> {
  const { name, type, from, size, norm, dropout, bias, bidirectional, surrogate, operation, freeze, lrScale, consts } =
    layer;
  if (operation) return { name, type, from, operation };
  if (size === null) return { name, type, from, ...consts };
  return {
    name,
    type,
    from,
    size,
    norm,
    dropout,
    bias,
    bidirectional,
    ...(surrogate && { surrogate: plainSurrogate(surrogate) }),
    // Only where they are set, so that runs from before these options can be resumed.
    ...(freeze && { freeze }),
    ...(lrScale !== 1 && { lr_scale: lrScale }),
    ...consts,
  };
}

function plainSurrogate({ name, args }: NonNullable<LayerConfig['surrogate']>): Record<string, unknown> {
  const positional = args.filter((a) => a.name === null).map((a) => a.value);
  const named = args.filter((a) => a.name !== null).map((a) => [a.name, a.value]);
  return { type: name, args: positional, ...Object.fromEntries(named) };
}
