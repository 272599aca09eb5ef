/**
 * Models that are not for a GPU, told by their operators before one is opened. Whoever scores on the CPU need not load
 * this: import it when a GPU is chosen.
 */
import { loadContract } from '../contract/load.ts';
import type { Pointer } from '../engines/native.ts';
import { readModelGraph } from '../engines/onnxruntime/model-graph.ts';
import { describeSession } from '../engines/onnxruntime/session.ts';
import type { PlainScoreOptions } from '../messages.ts';
import { cpuOnlyNodes, declineForCpuNodes, refuseCpuNodes } from '../score/cpu-nodes.ts';
import type { ChosenDevices } from './devices.ts';

/**
 * The chosen GPUs; none of them where `auto` chose and the model has strings or nodes that only the CPU can run. What
 * shows only when a GPU loads the model is an error of its thread: too late to choose the CPU.
 * @throws BAD_MODEL where GPUs were asked for by name and the model has such nodes
 */
export function declineCpuOnly(
  chosen: ChosenDevices,
  options: Pick<PlainScoreOptions, 'model' | 'device' | 'allowCpuNodes'>,
  session: Pointer,
): ChosenDevices {
  if (chosen.found.length === 0) return chosen;
  const isAuto = options.device === 'auto';
  const { inputs } = describeSession(session);
  const text = inputs.find(({ elementType }) => elementType === 'string');
  if (isAuto && text !== undefined) {
    return { ...chosen, found: [], notes: [`Scoring on the CPU: the model's input ${text.name} holds strings.`] };
  }
  if (options.allowCpuNodes === true) return chosen;
  const graph = readModelGraph(loadContract(options.model).contract.modelPath);
  const data = cpuOnlyNodes(
    graph,
    inputs.map(({ name }) => name),
  );
  if (data.length === 0) return chosen;
  if (isAuto) return { ...chosen, found: [], notes: [declineForCpuNodes(data)] };
  throw refuseCpuNodes(chosen.found.map(({ name }) => name).join(', '), { data, shapeCount: 0 });
}
