"""Two million invented cases for the benchmarks of the map: hot spots, streets and noise over the demo town."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from gis import geometry
from gis.db import raw

WEST, SOUTH, EAST, NORTH = 116.6120, 40.0708, 116.6880, 40.1292

_CASES = """
insert into "case" (id, number, query_code, kind, channel, catalogue, category_kind, category_code, severity,
  description, lon, lat, mk, h3, village_code, unit_grid_code, duty_grid_code, area_class, department_code,
  co_departments, routing, workflow, workflow_version, versions, state, stage, status, reporter_id, assignee_id,
  occurred_at, reported_at, handled_at, due_at, yellow_at, simulated, content_digest, seq, last_hash)
select id, 'RH-' || n, 'q' || n, case when n % 20 = 0 then 'hotline' else 'case' end,
  (array['patrol','patrol','patrol','patrol','public','public','hotline','video','superior','sensor'])[1 + n % 10],
  'cjt214-2007', case when n % 3 = 0 then 'component' else 'event' end,
  lpad((1 + n % 6)::text, 2, '0') || lpad((1 + (n / 7) % 20)::text, 2, '0'), 1 + (n % 10 = 9)::int + (n % 50 = 49)::int,
  '', lon, lat, mk, h3, '110113003' || lpad((200 + cell / 211)::text, 3, '0'),
  '110113003' || lpad((cell / 211)::text, 3, '0') || lpad((cell % 211)::text, 3, '0'),
  'R' || lpad((cell / 20)::text, 3, '0'), 'B', 'D' || lpad((1 + cell % 22)::text, 2, '0'),
  case when n % 12 = 0 then array['D' || lpad((1 + n % 22)::text, 2, '0')] else '{}' end, '{}', 'standard', 1, '{}',
  case when late < 0.9 then 'closed' else (array['reported','accepted','filed','handling'])[1 + n % 4] end,
  case when late < 0.9 then 'closing' else (array['report','acceptance','filing','handling'])[1 + n % 4] end,
  case when late < 0.9 then 'closed' else 'open' end,
  lpad(to_hex(n % 400), 32, '0')::uuid, case when n % 3 = 0 then lpad(to_hex(n % 97), 32, '0')::uuid end, at, at,
  case when late < 0.9 then at + interval '5 hours' end, at + interval '6 hours', at + interval '288 minutes', true,
  '', 1 + n % 8, ''
from (select *, (cx * 64 + cy)::int as cell,
        case when late < 0.9 then now() - age * interval '1 day' else now() - age * interval '10 hours' / 360 end as at
      from bench_point) p
"""


def places(n: int, seed: int = 20) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """n places (lon, lat): 60 % in 300 hot spots, 25 % along a lattice of streets, 15 % anywhere."""
    chance = np.random.default_rng(seed)
    width, height = EAST - WEST, NORTH - SOUTH
    x, y = chance.random(n), chance.random(n)
    hot = np.arange(n) % 20 < 12
    spots = chance.random((300, 2))[chance.integers(0, 300, n)]
    x[hot], y[hot] = (spots[hot, axis] + chance.normal(0, 0.012, int(hot.sum())) for axis in (0, 1))
    street = np.arange(n) % 20 >= 15
    x[street & (np.arange(n) % 2 == 0)] = chance.integers(0, 26, n)[street & (np.arange(n) % 2 == 0)] / 26
    y[street & (np.arange(n) % 2 == 1)] = chance.integers(0, 26, n)[street & (np.arange(n) % 2 == 1)] / 26
    return WEST + width * np.clip(x, 0, 1), SOUTH + height * np.clip(y, 0, 1)


def fill(tx: Connection, n: int) -> None:
    """Put n cases into the empty table ``case``, nine tenths of them closed. Indexes but the key are dropped."""
    lon, lat = places(n)
    chance = np.random.default_rng(21)
    stamp = 1_700_000_000_000 + np.arange(n)
    fields: dict[str, tuple[str, str, NDArray[Any]]] = {
        "n": ("int", ">i4", np.arange(n)),
        "id": ("uuid", "V16", _uuid7(stamp, chance)),
        "lon": ("float8", ">f8", lon),
        "lat": ("float8", ">f8", lat),
        "mk": ("bigint", ">i8", geometry.morton(lon, lat)),
        "h3": ("bigint", ">i8", geometry.h3_12(lon, lat)),
        "cx": ("int", ">i4", np.clip((lon - WEST) / (EAST - WEST) * 64, 0, 63).astype(int)),
        "cy": ("int", ">i4", np.clip((lat - SOUTH) / (NORTH - SOUTH) * 63, 0, 63).astype(int)),
        "late": ("float8", ">f8", chance.random(n)),
        "age": ("float8", ">f8", chance.random(n) * 360),
    }
    tx.execute(
        text(f"create temp table bench_point ({', '.join(f'{k} {v[0]}' for k, v in fields.items())}) on commit drop")
    )
    for name in tx.execute(
        text("select indexname from pg_indexes where tablename = 'case' and indexname not like 'pk%'")
    ).scalars():
        tx.execute(text(f"drop index {name}"))
    shape = [("fields", ">i2")]
    for name, (_, kind, _) in fields.items():
        shape += [(f"{name}_length", ">i4"), (name, kind)]
    rows = np.zeros(n, shape)
    rows["fields"] = len(fields)
    for name, (_, kind, values) in fields.items():
        rows[f"{name}_length"], rows[name] = np.dtype(kind).itemsize, values
    with raw(tx).cursor() as cursor, cursor.copy("copy bench_point from stdin (format binary)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for start in range(0, n, 50_000):
            copy.write(rows[start : start + 50_000].tobytes())
        copy.write(b"\xff\xff")
    tx.execute(text(_CASES))
    tx.execute(text('analyze "case"'))


def _uuid7(stamp: NDArray[np.int64], chance: np.random.Generator) -> NDArray[Any]:
    high = (stamp << 16) | 0x7000 | chance.integers(0, 0x1000, len(stamp))
    low = (np.uint64(2) << np.uint64(62)) | chance.integers(0, 2**62, len(stamp)).astype(np.uint64)
    halves = np.stack([high.astype(np.uint64), low], axis=1).astype(">u8")
    return halves.view("V16").reshape(-1)
