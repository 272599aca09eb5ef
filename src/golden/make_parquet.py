"""Makes parquet-types beside this file with pyarrow: one table, many ways to write it (see make.py for how to run).

expected.json holds every value of the table as text that loses nothing, in a form that a reader of any kind can make:
numbers with a point as the hex digits of their float64, decimals as their unscaled integers, times and timestamps in
nanoseconds, dates in days, durations in their own unit, bytes in hex, UUIDs in their usual form.
"""
import datetime
import decimal
import json
import struct
import uuid

import numpy
import pyarrow
import pyarrow.parquet

from make import ROOT

ROW_COUNT = 21
NS = {'s': 10 ** 9, 'ms': 10 ** 6, 'us': 10 ** 3, 'ns': 1}


def column(kind, value_of):
    """One row in five is null, in each column another one."""
    column.made = getattr(column, 'made', 0) + 1
    shift = column.made
    values = [None if (row + shift) % 5 == 0 else value_of(row) for row in range(ROW_COUNT)]
    return pyarrow.array(values, kind)


def whole(kind, bits, signed):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2 ** bits - 1)
    return column(kind, lambda row: [low, high, 0, row][row % 4])


def instant(row):
    return 1_700_000_000_123_456_789 + row * 86_399_999_999_999 * (-1) ** row * 50


def stamp(unit, zone=None):
    return column(pyarrow.timestamp(unit, zone), lambda row: instant(row) // NS[unit])


def word(row):
    return ['', 'naïve 東京 😀', 'a', 'x' * 40, f'word {row}', 'prefix-one', 'prefix-two'][row % 7]


def flat_columns():
    numbers = {
        **{f'i{bits}': whole(getattr(pyarrow, f'int{bits}')(), bits, True) for bits in (8, 16, 32, 64)},
        **{f'u{bits}': whole(getattr(pyarrow, f'uint{bits}')(), bits, False) for bits in (8, 16, 32, 64)},
        'f16': column(pyarrow.float16(), lambda row: numpy.float16(row / 7)),
        'f32': column(pyarrow.float32(), lambda row: [float('nan'), float('inf'), -0.0, 3.4e38, row / 3][row % 5]),
        'f64': column(pyarrow.float64(), lambda row: [float('nan'), 5e-324, -0.0, -1.7e308, row / 3, float('-inf')][row % 6]),
        'flag': column(pyarrow.bool_(), lambda row: row % 3 == 0),
        'dec4': column(pyarrow.decimal128(4, 1), lambda row: decimal.Decimal(row * 37 - 400).scaleb(-1)),
        'dec18': column(pyarrow.decimal128(18, 6), lambda row: decimal.Decimal(10 ** 17 + row).scaleb(-6) * (-1) ** row),
        'dec38': column(pyarrow.decimal128(38, 10), lambda row: decimal.Decimal(10 ** 37 - row).scaleb(-10) * (-1) ** row),
    }
    times = {
        'day': column(pyarrow.date32(), lambda row: datetime.date(1969, 12, 20) + datetime.timedelta(row * 999)),
        'day_ms': column(pyarrow.date64(), lambda row: datetime.date(1970, 1, 5) - datetime.timedelta(row)),
        'time_ms': column(pyarrow.time32('ms'), lambda row: row * 3_600_123 % 86_400_000),
        'time_us': column(pyarrow.time64('us'), lambda row: row * 3_600_123_457 % 86_400_000_000),
        'ts_ms': stamp('ms'), 'ts_us': stamp('us'), 'ts_ns': stamp('ns'),
        'utc_us': stamp('us', 'UTC'), 'zurich_ms': stamp('ms', 'Europe/Zurich'),
        'duration': column(pyarrow.duration('us'), lambda row: row * 1_000_003 - 5),
    }
    texts = {
        'text': column(pyarrow.string(), word), 'large_text': column(pyarrow.large_string(), word),
        'text_view': column(pyarrow.string_view(), word),
        'category': column(pyarrow.string(), lambda row: ['low', 'high', ''][row % 3]).dictionary_encode(),
        'bytes': column(pyarrow.binary(), lambda row: bytes(range(row)) + b'\xff\x00'),
        'large_bytes': column(pyarrow.large_binary(), lambda row: b'\x00' * (row % 3)),
        'fixed_bytes': column(pyarrow.binary(5), lambda row: bytes([row, 0, 255, 1, row])),
        'id': column(pyarrow.uuid(), lambda row: uuid.UUID(int=row * 2 ** 100 + 7).bytes),
        'nothing': pyarrow.nulls(ROW_COUNT),
    }
    return {**numbers, **times, **texts}


def nested_columns():
    pair = pyarrow.struct([('a', pyarrow.int64()), ('b', pyarrow.string())])
    deep = pyarrow.struct([('when', pyarrow.timestamp('us')), ('tags', pyarrow.list_(pyarrow.string()))])
    return {
        'list': column(pyarrow.list_(pyarrow.int64()), lambda row: [row, None, -row][:row % 4]),
        'large_list': column(pyarrow.large_list(pyarrow.float32()), lambda row: [row / 2] * (row % 3)),
        'triple': column(pyarrow.list_(pyarrow.float32(), 3), lambda row: [row, row + 0.5, -row]),
        'words': column(pyarrow.list_(pyarrow.string()), lambda row: [word(row), '', None][:row % 4]),
        'pair': column(pair, lambda row: {'a': row, 'b': None if row % 4 == 0 else word(row)}),
        'pairs': column(pyarrow.list_(pair), lambda row: [{'a': row, 'b': 'x'}, None, {'a': None, 'b': ''}][:row % 4]),
        'deep': column(deep, lambda row: {'when': instant(row) // 1000, 'tags': ['t', None] * (row % 2)}),
        'lists': column(pyarrow.list_(pyarrow.list_(pyarrow.int32())), lambda row: [[row], [], None, [1, 2]][:row % 5]),
        'map': column(pyarrow.map_(pyarrow.string(), pyarrow.float64()), lambda row: [(f'k{i}', i / 3) for i in range(row % 3)]),
    }


def as_text(scalar):
    kind, is_ = scalar.type, pyarrow.types
    if not scalar.is_valid:
        return None
    if is_.is_dictionary(kind):
        return as_text(scalar.value)
    if isinstance(kind, pyarrow.BaseExtensionType):
        return str(scalar.as_py())
    if is_.is_boolean(kind):
        return scalar.as_py()
    if is_.is_integer(kind):
        return str(scalar.as_py())
    if is_.is_floating(kind):
        return struct.pack('>d', float(scalar.as_py())).hex()
    if is_.is_decimal(kind):
        return str(int(scalar.as_py().scaleb(kind.scale, decimal.Context(prec=80))))
    if is_.is_date64(kind):
        return str(scalar.value // 86_400_000)
    if is_.is_time(kind) or is_.is_timestamp(kind):
        return str(scalar.value * NS[kind.unit])
    if is_.is_date(kind) or is_.is_duration(kind):
        return str(scalar.value)
    if is_.is_map(kind):
        return [[as_text(entry['key']), as_text(entry['value'])] for entry in scalar.values]
    if is_.is_struct(kind):
        return {name: as_text(scalar[name]) for name in kind.names}
    if is_.is_nested(kind):
        return [as_text(item) for item in scalar.values]
    return scalar.as_py().hex() if isinstance(scalar.as_py(), bytes) else scalar.as_py()


def encodings(table):
    """Each type's own encodings in place of dictionaries."""
    chosen = {}
    for field in table.schema:
        if pyarrow.types.is_integer(field.type) or pyarrow.types.is_timestamp(field.type):
            chosen[field.name] = 'DELTA_BINARY_PACKED'
    chosen |= {'text': 'DELTA_BYTE_ARRAY', 'large_text': 'DELTA_LENGTH_BYTE_ARRAY', 'bytes': 'DELTA_BYTE_ARRAY',
               'f32': 'BYTE_STREAM_SPLIT', 'f64': 'BYTE_STREAM_SPLIT', 'flag': 'RLE'}
    return chosen


def main():
    folder = ROOT / 'parquet-types'
    folder.mkdir(exist_ok=True)
    flat = pyarrow.table({'row': pyarrow.array(range(ROW_COUNT), pyarrow.int64()), **flat_columns()})
    nested = pyarrow.table({'row': flat['row'], **nested_columns()})
    both = pyarrow.table({name: (flat if name in flat.column_names else nested)[name]
                          for name in [*flat.column_names, *nested.column_names[1:]]})
    plain = {'use_dictionary': False, 'compression': 'none'}
    written = {
        'all-snappy': (both, {}),
        'all-v2-zstd': (both, {'data_page_version': '2.0', 'compression': 'zstd'}),
        'flat-plain': (flat, plain),
        'flat-gzip': (flat, {'compression': 'gzip'}),
        'flat-lz4': (flat, {'compression': 'lz4'}),
        'nested-brotli': (nested, {'compression': 'brotli'}),
        'flat-encodings': (flat, {**plain, 'column_encoding': encodings(flat)}),
        'flat-encodings-v2': (flat, {**plain, 'column_encoding': encodings(flat), 'data_page_version': '2.0'}),
        'flat-int96': (flat, {'use_deprecated_int96_timestamps': True}),
        'nested-old': (nested, {'version': '1.0', 'use_compliant_nested_type': False}),
        'flat-integer-decimals': (flat, {'store_decimal_as_integer': True}),
        'all-tiny-pages': (both.slice(0, 12), {'data_page_size': 1, 'write_batch_size': 4, 'write_page_index': True}),
        'nested-row-groups-of-1': (nested.slice(0, 5), {'row_group_size': 1}),
        'flat-row-groups-of-4': (flat.slice(0, 5), {'row_group_size': 4}),
    }
    for name, (table, options) in written.items():
        # The Arrow schema costs 4 kB and changes how a few types are read: one file has it.
        settings = {'write_statistics': False, 'store_schema': name == 'all-snappy', **options}
        pyarrow.parquet.write_table(table, folder / f'{name}.parquet', **settings)
    rows = [{name: as_text(both[name][row]) for name in both.column_names} for row in range(ROW_COUNT)]
    lines = ',\n'.join(json.dumps(row, ensure_ascii=False, separators=(',', ':')) for row in rows)
    (folder / 'expected.json').write_text(f'[\n{lines}\n]\n')


if __name__ == '__main__':
    main()
