"""Many rows in one statement, as each engine takes them fastest.

SQLite runs a prepared statement once a row; PostgreSQL gets one array a column and unnests them.
SQLAlchemy's own way costs several times as much as either, in looking at every value of every row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

_TYPES: tuple[tuple[type[Any], str], ...] = (
    (sa.LargeBinary, "bytea"),
    (sa.Boolean, "boolean"),
    (sa.BigInteger, "bigint"),
    (sa.Integer, "integer"),
    (sa.Text, "text"),
)

_SELECTED_MAX = 100  # combinations of values in one statement

Rows = Sequence[Sequence[Any]]


def insert(
    connection: Connection,
    table: sa.Table,
    names: tuple[str, ...],
    rows: Rows,
    conflict: str = "DO NOTHING",
) -> int:
    """Insert rows and return how many were added or changed.

    names     keys of the columns that a row has, in its order
    conflict  what follows ON CONFLICT
    """
    return _run(connection, rows, _insert(table, names, conflict, _is_postgres(connection)))


def update(
    connection: Connection,
    table: sa.Table,
    names: tuple[str, ...],
    where: tuple[str, ...],
    rows: Rows,
    keep: tuple[str, ...] = (),
) -> int:
    """Update rows and return how many there were to update.

    rows   have new values for `names`, then those that `where` must have for it
    keep   names of `names` whose value stays where the new one is None
    """
    statement = _update(table, names, where, keep, _is_postgres(connection))
    return _run(connection, rows, statement)


def delete(connection: Connection, table: sa.Table, where: tuple[str, ...], rows: Rows) -> None:
    """Delete all rows with one of the combinations of values for `where`."""
    _run(connection, rows, _delete(table, where, _is_postgres(connection)))


def select(
    connection: Connection,
    table: sa.Table,
    names: tuple[str, ...],
    where: tuple[str, ...],
    rows: Rows,
) -> Sequence[Any]:
    """Return `names` of all rows with one of the combinations of values for `where`."""
    found: list[Any] = []
    postgres = _is_postgres(connection)
    for start in range(0, len(rows), _SELECTED_MAX):
        some = rows[start : start + _SELECTED_MAX]
        statement = _select(table, names, where, 0 if postgres else len(some))
        if postgres:
            values = tuple(list(column) for column in zip(*some, strict=True))
        else:
            values = tuple(value for row in some for value in row)
        found += connection.exec_driver_sql(statement, values).all()
    return found


@lru_cache(maxsize=64)
def replacing(table: sa.Table, key: Sequence[str], names: tuple[str, ...], when: str = "") -> str:
    """Return the `conflict` that puts a row in the place of the one with the same key."""
    others = _quoted(table, [name for name in names if name not in key])
    sets = ", ".join(f"{column} = excluded.{column}" for column in others)
    where = f" WHERE {when}" if when else ""
    return f"({', '.join(_quoted(table, key))}) DO UPDATE SET {sets}{where}"


def _is_postgres(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _run(connection: Connection, rows: Rows, statement: str) -> int:
    if not rows:
        return 0
    if _is_postgres(connection):
        columns = tuple(list(column) for column in zip(*rows, strict=True))
        return connection.exec_driver_sql(statement, columns).rowcount
    return connection.exec_driver_sql(statement, [tuple(row) for row in rows]).rowcount


def _quoted(table: sa.Table, names: Sequence[str]) -> list[str]:
    return [f'"{table.c[name].name}"' for name in names]


def _arrays(table: sa.Table, names: Sequence[str]) -> str:
    kinds = []
    for name in names:
        kind = table.c[name].type
        kinds.append(next(sql for python, sql in _TYPES if isinstance(kind, python)))
    return ", ".join(f"%b::{kind}[]" for kind in kinds)


@lru_cache(maxsize=256)
def _insert(table: sa.Table, names: tuple[str, ...], conflict: str, postgres: bool) -> str:
    columns = ", ".join(_quoted(table, names))
    head = f"INSERT INTO {table.name} ({columns})"
    if postgres:
        return f"{head} SELECT * FROM unnest({_arrays(table, names)}) ON CONFLICT {conflict}"
    return f"{head} VALUES ({', '.join('?' * len(names))}) ON CONFLICT {conflict}"


@lru_cache(maxsize=256)
def _update(
    table: sa.Table,
    names: tuple[str, ...],
    where: tuple[str, ...],
    keep: tuple[str, ...],
    postgres: bool,
) -> str:
    news = [f"n{at}" for at in range(len(names) + len(where))] if postgres else []
    sets = []
    for at, (name, column) in enumerate(zip(names, _quoted(table, names), strict=True)):
        new = f"n.{news[at]}" if postgres else "?"
        sets.append(f"{column} = {f'COALESCE({new}, t.{column})' if name in keep else new}")
    tests = []
    for at, column in enumerate(_quoted(table, where), len(names)):
        tests.append(f"t.{column} = {f'n.{news[at]}' if postgres else '?'}")
    text = f"UPDATE {table.name} AS t SET {', '.join(sets)}"
    if postgres:
        text += f" FROM unnest({_arrays(table, (*names, *where))}) AS n({', '.join(news)})"
    return f"{text} WHERE {' AND '.join(tests)}"


@lru_cache(maxsize=256)
def _delete(table: sa.Table, where: tuple[str, ...], postgres: bool) -> str:
    columns = _quoted(table, where)
    if not postgres:
        return f"DELETE FROM {table.name} WHERE {' AND '.join(f'{c} = ?' for c in columns)}"
    news = [f"n{at}" for at in range(len(where))]
    tests = " AND ".join(f"t.{c} = n.{n}" for c, n in zip(columns, news, strict=True))
    given = f"unnest({_arrays(table, where)}) AS n({', '.join(news)})"
    return f"DELETE FROM {table.name} AS t USING {given} WHERE {tests}"


@lru_cache(maxsize=256)
def _select(table: sa.Table, names: tuple[str, ...], where: tuple[str, ...], count: int) -> str:
    columns = ", ".join(f"t.{column}" for column in _quoted(table, names))
    news = [f"n{at}" for at in range(len(where))]
    pairs = zip(_quoted(table, where), news, strict=True)
    tests = " AND ".join(f"t.{column} = n.{new}" for column, new in pairs)
    given = f"n({', '.join(news)})"
    if not count:
        arrays = _arrays(table, where)
        return (
            f"SELECT {columns} FROM unnest({arrays}) AS {given} JOIN {table.name} AS t ON {tests}"
        )
    row = f"({', '.join('?' * len(where))})"
    # CROSS JOIN: SQLite then takes them in this order, and looks each one up.
    return (
        f"WITH {given} AS (VALUES {', '.join([row] * count)}) "
        f"SELECT {columns} FROM n CROSS JOIN {table.name} AS t WHERE {tests}"
    )
