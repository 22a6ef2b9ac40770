import { paddings } from '../data/config.ts';
import type { Definition, ParamSpec } from '../definitions/params.ts';
import { selections } from '../train/config.ts';
import { type CallPlace, callPlaces, transformPlace } from './calls.ts';

/**
 * The JSON Schema of an experiment, made from the definitions. `sparchc` itself validates the expanded spec, where all
 * DSL text has become structure; the published schema, for editors, also allows the text.
 *
 * Keywords of our own (see validate.ts): `quantity`, a number with or without a unit.
 */
export type Schema = Record<string, unknown>;

export function experimentSchema(forEditors: boolean): Schema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    ...(forEditors && { title: 'sparchc experiment' }),
    ...section('an experiment: data, model and training in one file', ['sparchc', 'data', 'model'], {
      sparchc: { const: 1, description: 'version of the spec format' },
      name: {
        type: 'string',
        pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$',
        maxLength: 100,
        description: 'name of the run folder; the file name where not given',
      },
      description: { type: 'string', description: 'for people' },
      license: {
        type: 'string',
        minLength: 1,
        maxLength: 200,
        description: 'of the trained model, such as "CC-BY-4.0"; exported models carry it',
      },
      seed: {
        type: 'integer',
        minimum: 0,
        maximum: 4294967295,
        default: 1,
        description: 'all random draws follow from it',
      },
      ...(forEditors && {
        extends: { type: 'string', description: 'a spec that this one builds on, relative to this file' },
        vars: {
          type: 'object',
          additionalProperties: { type: ['number', 'string', 'boolean'] },
          description: 'values used in several places as $name',
        },
      }),
      import: {
        type: 'array',
        items: { type: 'string' },
        description: '.snn files with neurons, relative to this file',
      },
      define: { type: 'string', description: 'neurons, pools and surrogates of its own, in the DSL' },
      data: dataSchema(forEditors),
      model: modelSchema(forEditors),
      train: trainSchema(forEditors),
    }),
  };
}

function section(description: string, required: readonly string[], properties: Record<string, Schema>): Schema {
  return { type: 'object', description, required, properties, additionalProperties: false };
}

function dataSchema(forEditors: boolean): Schema {
  return section('where samples come from and what happens to them', ['source'], {
    ...placesIn('data', forEditors),
    transforms: {
      type: 'array',
      description: transformPlace.description,
      items: callSchema(transformPlace, false),
    },
    padding: {
      enum: paddings,
      default: 'exclude',
      description:
        'exclude: the padding of shorter samples counts nowhere; include: it is input like any other, as in sparch',
    },
  });
}

function trainSchema(forEditors: boolean): Schema {
  return section('how the model is trained', [], {
    epochs: { type: 'integer', minimum: 1, default: 30, description: 'passes over the training split' },
    batch: { type: 'integer', minimum: 1, default: 128, description: 'samples per optimiser step' },
    ...placesIn('train', forEditors),
    select: {
      enum: selections,
      default: 'best',
      description: 'whose weights are tested and exported: the epoch with the highest validation accuracy, or the last',
    },
    init: {
      type: ['string', 'null'],
      minLength: 1,
      default: null,
      description: 'run folder or .safetensors checkpoint whose weights training starts from, relative to this file',
    },
    clip_norm: {
      type: ['number', 'null'],
      exclusiveMinimum: 0,
      default: null,
      description: 'largest global L2 norm of the gradients',
    },
    early_stopping: {
      type: ['integer', 'null'],
      minimum: 1,
      default: null,
      description: 'stop after this many epochs without a better validation accuracy',
    },
    checkpoint_every: {
      ...quantitySchema({ type: 'quantity', unit: 's', min: 0, exclusive: true, description: '' }, forEditors),
      default: '60s',
      description: 'time between checkpoints inside an epoch',
    },
  });
}

function placesIn(sectionName: string, forEditors: boolean): Record<string, Schema> {
  const places = callPlaces.filter((p) => p.path[0] === sectionName);
  return Object.fromEntries(places.map((p) => [p.path[1], callSchema(p, forEditors)]));
}

/** A call: a map whose `type` says which parameters it has. */
function callSchema(place: CallPlace, allowText: boolean): Schema {
  const names = place.definitions.map((d) => d.name);
  const call: Schema = {
    type: 'object',
    required: ['type'],
    properties: { type: { enum: names } },
    allOf: place.definitions.map((d) => ({
      if: { properties: { type: { const: d.name } }, required: ['type'] },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: definitionSchema(d, allowText),
    })),
  };
  const described = { description: place.description, ...(place.default && { default: place.default }) };
  if (allowText) return { ...described, anyOf: [{ type: 'string', examples: names }, call] };
  if (!place.optional) return { ...described, ...call };
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  return { ...described, if: { type: 'string' }, then: { enum: ['none', ...names] }, else: call };
}

function definitionSchema(definition: Definition, forEditors: boolean): Schema {
  const params = Object.entries(definition.params);
  return {
    description: definition.description,
    required: params.filter(([, spec]) => spec.default === undefined).map(([name]) => name),
    properties: {
      type: true,
      ...Object.fromEntries(params.map(([name, spec]) => [name, paramSchema(spec, forEditors)])),
    },
    additionalProperties: false,
  };
}

function paramSchema(spec: ParamSpec, forEditors: boolean): Schema {
  const nullable = spec.default === null;
  const common = {
    description: spec.description,
    ...(spec.default !== undefined && { default: spec.default }),
  };
  const typed = (type: string): Schema => ({ type: nullable ? [type, 'null'] : type });
  switch (spec.type) {
    case 'integer':
    case 'number':
      return { ...common, ...typed(spec.type), ...bounds(spec) };
    case 'quantity':
      return { ...common, ...quantitySchema(spec, forEditors) };
    case 'boolean':
      return { ...common, ...typed('boolean') };
    case 'string':
    case 'path':
      return { ...common, ...typed('string'), minLength: 1 };
    case 'choice':
      return { ...common, enum: nullable ? [...spec.values, null] : spec.values };
  }
}

function bounds(spec: { min?: number; max?: number; exclusive?: boolean }): Schema {
  const [low, high] = spec.exclusive ? ['exclusiveMinimum', 'exclusiveMaximum'] : ['minimum', 'maximum'];
  return { ...(spec.min !== undefined && { [low]: spec.min }), ...(spec.max !== undefined && { [high]: spec.max }) };
}

function quantitySchema(spec: Extract<ParamSpec, { type: 'quantity' }>, forEditors: boolean): Schema {
  if (!forEditors) return { quantity: spec };
  const example = spec.unit === 's' ? ['1.4s', '25ms'] : ['16kHz'];
  const pattern = spec.unit === 's' ? '^[0-9.eE+-]+ ?(s|ms|us)$' : '^[0-9.eE+-]+ ?(Hz|kHz)$';
  return { type: spec.default === null ? ['string', 'null'] : 'string', pattern, examples: example };
}

function modelSchema(forEditors: boolean): Schema {
  const structured = section('the network', ['layers'], {
    layers: {
      type: 'array',
      minItems: 1,
      description: 'layers; the last one is the output',
      items: layerSchema(forEditors),
    },
  });
  if (!forEditors) return structured;
  const { required: _, ...changes } = layerSchema(true);
  const overrides = section('changes to the network of the spec that this one extends', ['layers'], {
    layers: { type: 'object', additionalProperties: changes, description: 'changed settings by name of the layer' },
  });
  const text = {
    type: 'string',
    description: 'the network in the DSL',
    examples: ['input |> 2 * RadLIF(128) |> LI(classes) |> softmax_sum'],
  };
  return { anyOf: [text, structured, overrides] };
}

function layerSchema(forEditors: boolean): Schema {
  const call = {
    type: 'object',
    required: ['type'],
    properties: { type: { type: 'string' }, args: { type: 'array', items: { type: 'number' } } },
    additionalProperties: { type: 'number' },
  };
  return {
    type: 'object',
    required: ['name', 'type', 'from'],
    properties: {
      name: { type: 'string', pattern: '^[A-Za-z_][A-Za-z0-9_]*$', description: 'how other layers refer to it' },
      type: { type: 'string', description: 'a neuron, a pool, dense or merge' },
      from: { type: 'array', items: { type: 'string' }, description: 'layers it reads; "input" is the data' },
      size: {
        if: { type: 'string' },
        // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
        then: { const: 'classes' },
        else: { type: 'integer', minimum: 1, maximum: 8192 },
        description: 'number of neurons, or "classes"',
      },
      norm: { enum: ['batchnorm', 'layernorm', 'none'], default: 'batchnorm', description: 'of its input current' },
      dropout: {
        type: 'number',
        minimum: 0,
        exclusiveMaximum: 1,
        default: 0,
        description: 'share of its output that is dropped in training',
      },
      bias: { type: 'boolean', default: false, description: 'whether its projection has a bias' },
      bidirectional: { type: 'boolean', default: false, description: 'also runs over the reversed sequence' },
      surrogate: {
        ...(forEditors ? { anyOf: [{ type: 'string', examples: ['arctan(2)'] }, call] } : call),
        description: "replaces the neuron's surrogate",
      },
      operation: { enum: ['add', 'concat'], description: 'of a merge' },
      freeze: { type: 'boolean', default: false, description: 'its parameters are not trained' },
      lr_scale: {
        type: 'number',
        exclusiveMinimum: 0,
        default: 1,
        description: 'what the learning rate is multiplied by for its parameters',
      },
    },
    additionalProperties: forEditors
      ? { type: ['number', 'string'], description: 'a constant of the neuron' }
      : { quantity: { description: 'a constant of the neuron' } },
  };
}
