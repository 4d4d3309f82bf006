"""Files of a source with damage in the middle."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def write_damaged_parquet(table: pa.Table, path: Path, group_rows: int) -> None:
    """Write a table whose first group of rows can be read, and the second cannot."""
    pq.write_table(table, path, row_group_size=group_rows, use_dictionary=False, compression="zstd")
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    with path.open("r+b") as stream:
        stream.seek(column.data_page_offset)
        stream.write(b"\xff" * column.total_compressed_size)
