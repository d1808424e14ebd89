"""Files of rows, written row by row: Parquet with its features for `datasets`, and the same rows as JSON lines."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_BYTES = 16_000_000
"""JSON text that is held before it is written."""

_JSON_LIST = {"feature": {"_type": "Json"}, "_type": "List"}
_TYPES: dict[str, tuple[pa.DataType, dict[str, Any]]] = {
    "json_list": (pa.list_(pa.json_()), _JSON_LIST),
    "text": (pa.string(), {"dtype": "string", "_type": "Value"}),
    "texts": (pa.list_(pa.string()), {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"}),
    "int": (pa.int64(), {"dtype": "int64", "_type": "Value"}),
    "float": (pa.float64(), {"dtype": "float64", "_type": "Value"}),
    "spans": (
        pa.list_(pa.list_(pa.float64())),
        {"feature": {"feature": {"dtype": "float64", "_type": "Value"}, "_type": "List"}, "_type": "List"},
    ),
}
COLUMN_TYPES = tuple(_TYPES)
OLDEST_DATASETS = "4.7"
"""The first version of `datasets` with the features `Json` and `List`: older ones refuse these Parquet files."""


class ParquetFile:
    """Writes rows of fixed columns; the file appears under its name when it is closed without an error.

    The same rows stand beside it as `<name>.jsonl`, which any version of `datasets`, and any other reader, reads.

    `json_list` columns hold lists of JSON values (messages, tools): Arrow has one type a column, and the arguments of
    two tools differ. `datasets` gives them back as they were.

    Args:
        path: The file.
        columns: Type by column name, of `COLUMN_TYPES`.
    """

    def __init__(self, path: str | Path, columns: Mapping[str, str]) -> None:
        self.path, self.columns = Path(path), dict(columns)
        self.rows = 0
        self._waiting: dict[str, list[Any]] = {name: [] for name in columns}
        self._bytes = 0
        features = {name: _TYPES[kind][1] for name, kind in columns.items()}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        self._schema = pa.schema([(name, _TYPES[kind][0]) for name, kind in columns.items()], metadata)
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lines = self._temporary.with_suffix(".jsonl")
        self._text = open(self._lines, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        self._writer = pq.ParquetWriter(self._temporary, self._schema, compression="zstd")

    def __enter__(self) -> "ParquetFile":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
            self._writer.close()
            self._text.close()
            if kind is None:
                os.replace(self._lines, self.path.with_suffix(".jsonl"))
                os.replace(self._temporary, self.path)
        finally:
            self._text.close()
            self._lines.unlink(missing_ok=True)
            self._temporary.unlink(missing_ok=True)

    def write(self, row: Mapping[str, Any]) -> None:
        """Adds a row; a column that it lacks is null."""
        # Half of a surrogate pair becomes its JSON escape.
        self._text.write(json.dumps({name: row.get(name) for name in self.columns}, ensure_ascii=False) + "\n")
        for name, kind in self.columns.items():
            value = row.get(name)
            if kind == "json_list" and value is not None:
                value = [json.dumps(each, ensure_ascii=False) for each in value]
                self._bytes += sum(map(len, value))
            self._waiting[name].append(value)
        self._bytes += 200
        self.rows += 1
        if self._bytes >= BATCH_BYTES:
            self._flush()

    def write_all(self, rows: Iterable[Mapping[str, Any]]) -> int:
        for row in rows:
            self.write(row)
        return self.rows

    def _flush(self) -> None:
        arrays = [_array(self._waiting[name], kind) for name, kind in self.columns.items()]
        if self._waiting and arrays and len(arrays[0]):
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._waiting = {name: [] for name in self.columns}
        self._bytes = 0


def _array(values: list[Any], kind: str) -> pa.Array:
    try:
        return _arrow(values, kind)
    except UnicodeEncodeError:
        # Half of a surrogate pair, legal in a JSON escape, is no Unicode text: it is written as that escape.
        return _arrow(_escaped(values), kind)


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return [_escaped(each) for each in value] if isinstance(value, (list, tuple)) else value


def _arrow(values: list[Any], kind: str) -> pa.Array:
    if kind != "json_list":
        return pa.array(values, _TYPES[kind][0])
    texts = pa.array(values, pa.list_(pa.string()))
    flat = pa.ExtensionArray.from_storage(pa.json_(), texts.flatten())
    return pa.ListArray.from_arrays(texts.offsets, flat, mask=texts.is_null() if texts.null_count else None)
