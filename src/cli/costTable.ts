import type { Costs } from '../cost/costs.ts';
import { count, percent, table } from './text.ts';

/** Costs for people. */
export function costTable(costs: Costs): string {
  const { footprint, connectionSparsity, activationSparsity, synapticOperations, membraneUpdates } = costs;
  const layers = Object.entries(costs.activationSparsityByLayer);
  const operations = synapticOperations && [
    ['synaptic operations, dense', count(synapticOperations.dense)],
    ['synaptic operations, effective MACs', count(synapticOperations.effectiveMacs)],
    ['synaptic operations, effective ACs', count(synapticOperations.effectiveAcs)],
  ];
  return table([
    ['cost', 'as NeuroBench; operations and updates per sample'],
    ['footprint', `${count(footprint)} bytes`],
    ...(connectionSparsity === null ? [] : [['connection sparsity', percent(connectionSparsity)]]),
    ...(activationSparsity === null ? [] : [['activation sparsity', percent(activationSparsity)]]),
    ...layers.map(([layer, sparsity]) => [`activation sparsity, ${layer}`, percent(sparsity)]),
    ...(operations ?? []),
    ...(membraneUpdates === null ? [] : [['membrane updates', count(membraneUpdates)]]),
    ...(operations ? [] : [['synaptic operations, membrane updates', 'not told by a file: evaluate the run']]),
  ]);
}

/** The same for `--json`. */
export function costDocument(costs: Costs) {
  const { synapticOperations: operations } = costs;
  return {
    footprint_bytes: costs.footprint,
    connection_sparsity: costs.connectionSparsity,
    activation_sparsity: costs.activationSparsity,
    activation_sparsity_by_layer: costs.activationSparsityByLayer,
    synaptic_operations: operations && {
      dense: operations.dense,
      effective_macs: operations.effectiveMacs,
      effective_acs: operations.effectiveAcs,
    },
    membrane_updates: costs.membraneUpdates,
  };
}
