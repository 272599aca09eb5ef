/** A Parquet schema as columns: DuckDB's names of the types, and how the values lie in levels. */
import { loadParquetJs, nameIn, type ThriftSchemaElement } from './library.ts';

/** A column that holds values. */
export interface Leaf {
  readonly path: readonly string[];
  /** BOOLEAN, INT32, INT64, FLOAT, DOUBLE, BYTE_ARRAY, ... */
  readonly physical: string;
  /** UTF8, DATE, UINT_64, ...; undefined: none. */
  readonly converted: string | undefined;
  /** DuckDB's name. */
  readonly type: string;
  readonly rLevelMax: number;
  readonly dLevelMax: number;
}

/** A column at the top of the schema. */
export interface ParquetColumn {
  readonly name: string;
  /** DuckDB's name: INTEGER, FLOAT[], STRUCT(a INTEGER). */
  readonly type: string;
  /** Undefined: nested deeper than a list of values. */
  readonly leaf: Leaf | undefined;
  /** Of a list: from which definition level on a row is a list, and from which on it has an entry. */
  readonly list: { readonly presentLevel: number; readonly entryLevel: number } | undefined;
}

interface Node {
  readonly element: ThriftSchemaElement;
  readonly repetition: 'REQUIRED' | 'OPTIONAL' | 'REPEATED';
  readonly children: readonly Node[];
}

/** Columns of a schema that comes in depth-first order, its root first. */
export function columnsOf(schema: readonly ThriftSchemaElement[]): ParquetColumn[] {
  let next = 0;
  const read = (): Node => {
    const element = schema[next++];
    if (element === undefined) throw new RangeError('the schema ends early');
    const repetition = nameIn(loadParquetJs().thrift.FieldRepetitionType, element.repetition_type) ?? 'REQUIRED';
    const children = Array.from({ length: element.num_children ?? 0 }, read);
    return { element, repetition: repetition as Node['repetition'], children };
  };
  return read().children.map(columnOf);
}

function columnOf(node: Node): ParquetColumn {
  const { name } = node.element;
  const type = typeOf(node);
  const optional = node.repetition === 'OPTIONAL' ? 1 : 0;
  if (node.children.length === 0) {
    if (node.repetition !== 'REPEATED') return { name, type, leaf: leafOf(node, [name], 0, optional), list: undefined };
    return { name, type, leaf: leafOf(node, [name], 1, 1), list: { presentLevel: 0, entryLevel: 1 } };
  }
  const element = listElement(node);
  if (element === undefined || element.children.length > 0 || element.repetition === 'REPEATED') {
    return { name, type, leaf: undefined, list: undefined };
  }
  const entryLevel = optional + 1;
  const path = [name, node.children[0]!.element.name, element.element.name];
  const leaf = leafOf(element, path, 1, entryLevel + (element.repetition === 'OPTIONAL' ? 1 : 0));
  return { name, type, leaf, list: { presentLevel: optional, entryLevel } };
}

function leafOf(node: Node, path: readonly string[], rLevelMax: number, dLevelMax: number): Leaf {
  const { Type } = loadParquetJs().thrift;
  return {
    path,
    rLevelMax,
    dLevelMax,
    type: leafType(node.element),
    physical: nameIn(Type, node.element.type) ?? 'no type',
    converted: convertedOf(node.element),
  };
}

/** What a list of three levels holds: `group (LIST) { repeated group { element } }`. */
function listElement(node: Node): Node | undefined {
  const {
    element,
    children: [child, second],
  } = node;
  const converted = nameIn(loadParquetJs().thrift.ConvertedType, element.converted_type);
  const isList = converted === 'LIST' || (element.logicalType?.LIST ?? null) !== null;
  if (!isList || child === undefined || second !== undefined) return undefined;
  return child.repetition === 'REPEATED' && child.children.length === 1 ? child.children[0] : undefined;
}

function typeOf(node: Node): string {
  if (node.children.length === 0) return `${leafType(node.element)}${node.repetition === 'REPEATED' ? '[]' : ''}`;
  const element = listElement(node);
  if (element !== undefined) return `${typeOf(element)}[]`;
  const converted = nameIn(loadParquetJs().thrift.ConvertedType, node.element.converted_type);
  const fields = node.children.map((child) => `${child.element.name} ${typeOf(child)}`);
  return `${converted === 'MAP' ? 'MAP' : 'STRUCT'}(${fields.join(', ')})`;
}

const physicalTypes: Readonly<Record<string, string>> = {
  BOOLEAN: 'BOOLEAN',
  INT32: 'INTEGER',
  INT64: 'BIGINT',
  FLOAT: 'FLOAT',
  DOUBLE: 'DOUBLE',
  BYTE_ARRAY: 'BLOB',
  INT96: 'TIMESTAMP_NS',
};
const convertedTypes: Readonly<Record<string, string>> = {
  UTF8: 'VARCHAR',
  ENUM: 'VARCHAR',
  JSON: 'JSON',
  BSON: 'BLOB',
  INT_8: 'TINYINT',
  INT_16: 'SMALLINT',
  INT_32: 'INTEGER',
  INT_64: 'BIGINT',
  UINT_8: 'UTINYINT',
  UINT_16: 'USMALLINT',
  UINT_32: 'UINTEGER',
  UINT_64: 'UBIGINT',
  DATE: 'DATE',
  TIME_MILLIS: 'TIME',
  TIME_MICROS: 'TIME',
  INTERVAL: 'INTERVAL',
  TIMESTAMP_MILLIS: 'TIMESTAMP',
  TIMESTAMP_MICROS: 'TIMESTAMP',
};

function leafType(element: ThriftSchemaElement): string {
  const physical = nameIn(loadParquetJs().thrift.Type, element.type) ?? 'no type';
  const converted = convertedOf(element);
  const logical = element.logicalType;
  if (converted === 'DECIMAL') {
    const { precision, scale } = logical?.DECIMAL ?? element;
    return `DECIMAL(${precision ?? 0},${scale ?? 0})`;
  }
  if (logical !== null) {
    if (logical.TIMESTAMP?.isAdjustedToUTC === true) return 'TIMESTAMP WITH TIME ZONE';
    if (logical.TIME?.isAdjustedToUTC === true) return 'TIME WITH TIME ZONE';
    if (converted === undefined && logical.TIMESTAMP !== null) return 'TIMESTAMP_NS';
    if (converted === undefined && logical.TIME !== null) return 'TIME_NS';
    // UUID, FLOAT16 and what is younger than the library.
    if (converted === undefined && logical.UNKNOWN === null) {
      return `${physical} of a logical type that parquetjs-lite does not know`;
    }
  }
  return (converted === undefined ? physicalTypes[physical] : convertedTypes[converted]) ?? physical;
}

/** The converted type, or what a file without any says in its logical type. */
function convertedOf({ converted_type: converted, logicalType: logical }: ThriftSchemaElement): string | undefined {
  const named = nameIn(loadParquetJs().thrift.ConvertedType, converted);
  if (named !== undefined || logical === null) return named;
  const { TIMESTAMP: timestamp, TIME: time, INTEGER: integer } = logical;
  if (logical.STRING !== null || logical.ENUM !== null) return 'UTF8';
  if (logical.JSON !== null) return 'JSON';
  if (logical.DATE !== null) return 'DATE';
  if (logical.DECIMAL !== null) return 'DECIMAL';
  if (integer !== null) return `${integer.isSigned ? '' : 'U'}INT_${integer.bitWidth}`;
  const unit = (timestamp ?? time)?.unit;
  if (unit === undefined || (unit.MILLIS === null && unit.MICROS === null)) return undefined;
  return `${timestamp === null ? 'TIME' : 'TIMESTAMP'}_${unit.MILLIS === null ? 'MICROS' : 'MILLIS'}`;
}
