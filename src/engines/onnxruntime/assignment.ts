/** Which execution provider runs which node of a loaded model. */
import type { Pointer } from '../native.ts';
import { check, loadOnnxRuntime, readPointers, readString } from './bindings.ts';
import { operatorName } from './model-graph.ts';

/** A node of the graph as it was when its provider took it: after the optimizations that every provider shares. */
export interface AssignedNode {
  /** The name in the model file, or one that ONNX Runtime made up; may be empty. */
  readonly name: string;
  /** `MatMul`; with its domain where that is not ONNX's own: `com.microsoft.FusedMatMul`. */
  readonly operator: string;
}

/** Makes sessions opened with these options keep what {@link nodesByProvider} reads. @throws OnnxRuntimeError */
export function recordAssignment(sessionOptions: Pointer): void {
  check(loadOnnxRuntime().AddSessionConfigEntry(sessionOptions, 'session.record_ep_graph_assignment_info', '1'));
}

/**
 * Nodes by the name of their provider (`CPUExecutionProvider`, `CUDAExecutionProvider`), in the graph's order.
 * @throws OnnxRuntimeError where the session was opened without {@link recordAssignment}
 */
export function nodesByProvider(session: Pointer): Map<string, AssignedNode[]> {
  const ort = loadOnnxRuntime();
  const nodes = new Map<string, AssignedNode[]>();
  for (const subgraph of readPointers((out, size) => ort.Session_GetEpGraphAssignmentInfo(session, out, size))) {
    const provider = readString((out) => ort.EpAssignedSubgraph_GetEpName(subgraph, out));
    const added = readPointers((out, size) => ort.EpAssignedSubgraph_GetNodes(subgraph, out, size)).map(describeNode);
    nodes.set(provider, [...(nodes.get(provider) ?? []), ...added]);
  }
  return nodes;
}

function describeNode(node: Pointer): AssignedNode {
  const ort = loadOnnxRuntime();
  const domain = readString((out) => ort.EpAssignedNode_GetDomain(node, out));
  const type = readString((out) => ort.EpAssignedNode_GetOperatorType(node, out));
  return { name: readString((out) => ort.EpAssignedNode_GetName(node, out)), operator: operatorName(type, domain) };
}
