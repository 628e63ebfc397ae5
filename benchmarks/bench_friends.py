"""The friends engine: wedges per CPU second beside other ways, the whole product over the Adamic-Adar pass (02, 2.7).

``python benchmarks/bench_friends.py [edges …]`` (default 1 400 000 and 7 000 000). Graphs are
made here, with heavy-tailed degrees. Rivals that are slow run on the first viewers only, which is
said; rivals that are not installed are left out, which is said too.
"""

from __future__ import annotations

import importlib.util
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any

import duckdb
import numpy as np
import polars as pl

from assets.frame import Inputs
from assets.friends import sources
from assets.friends.engine import Engine
from assets.friends.product import build_world, compute, friends
from assets.friends.sources import World
from benchmarks.measure import machine_facts, measured, peak_mib, table, write_section
from quality.registry import REGISTRY
from store.settings import FriendsSettings

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
TOP = 20
RIVAL_VIEWERS = 400


def graph(edge_count: int, seed: int = 7) -> dict[str, pl.LazyFrame]:
    """A made-up graph of about ``edge_count`` edges, 55 a person's degree on average, heavy-tailed."""
    rng = np.random.default_rng(seed)
    n = edge_count * 2 // 55
    drive = np.cumsum(rng.pareto(2.5, n) + 0.4)
    a, b = (np.searchsorted(drive, rng.random(int(edge_count * 1.08)) * drive[-1]) for _ in range(2))
    keys = np.unique(np.minimum(a, b) * n + np.maximum(a, b))
    keys = np.sort(rng.permutation(keys[keys // n != keys % n])[:edge_count])
    long_ago = AS_OF - timedelta(days=500)
    people = pl.DataFrame({"id": np.arange(n)}).with_columns(
        country=pl.lit("DE"), status=pl.lit("active"), profile_visibility=pl.lit("public"),
        friend_list_visibility=pl.lit("public"), is_discoverable=pl.lit(value=True),
        wants_recommendations=pl.lit(value=True), created_at=pl.lit(long_ago),
    )  # fmt: skip
    edges = pl.DataFrame({"user_a_id": keys // n, "user_b_id": keys % n}).with_columns(created_at=pl.lit(long_ago))
    made = {"staged_users": people, "staged_friendships": edges}
    found = {}
    for name in friends.inputs:
        schema = REGISTRY[name].schema
        frame = made.get(name, pl.DataFrame(schema=schema))
        columns = [pl.col(c) if c in frame.columns else pl.lit(None).alias(c) for c in schema]
        found[name] = frame.select(columns).cast(dict(schema)).lazy()  # type: ignore[arg-type]
    return found


def wedges(world: World, viewers: Any) -> int:
    """Directed two-paths that begin at the viewers."""
    degree = world.friends.sizes
    row = np.repeat(np.arange(degree.size), degree)
    mine = np.zeros(degree.size, dtype=bool)
    mine[viewers] = True
    return int(degree[world.friends.idx[mine[row]]].sum())


def adamic_adar(world: World, viewers: Any, threads: int) -> Any:
    depth = np.full(world.who.size, TOP, dtype=np.int64)
    return sources.two_steps(world, viewers, world.friend_weight, depth, Engine(threads))


def by_scipy(world: World, viewers: Any) -> Any:
    import scipy.sparse as sp  # noqa: PLC0415

    friends_ = world.friends
    ones = np.ones(friends_.idx.size)
    a = sp.csr_matrix((ones, friends_.idx, friends_.ptr), shape=(world.who.size,) * 2)
    product = a[viewers] @ sp.diags(world.friend_weight.astype(float)) @ a
    product = (product - product.multiply(a[viewers])).tolil()
    return [np.argsort(np.asarray(row))[-TOP:] for row in product.data]


def by_sparse_dot_topn(world: World, viewers: Any) -> Any:
    import scipy.sparse as sp  # noqa: PLC0415
    from sparse_dot_topn import sp_matmul_topn  # noqa: PLC0415

    n, friends_ = world.who.size, world.friends
    a = sp.csr_matrix((np.ones(friends_.idx.size), friends_.idx, friends_.ptr), shape=(n, n))
    barred = -1e12 * a[viewers]
    own = sp.csr_matrix((np.full(viewers.size, -1e12), (np.arange(viewers.size), viewers)), shape=(viewers.size, n))
    left = sp.hstack([a[viewers] @ sp.diags(world.friend_weight.astype(float)), barred + own]).tocsr()
    right = sp.vstack([a, sp.identity(n)]).tocsr()
    return sp_matmul_topn(left, right, top_n=TOP, threshold=0.0, n_threads=1)


def by_duckdb(world: World, viewers: Any) -> Any:
    pairs = world.friends.pairs().to_arrow()  # noqa: F841 (DuckDB reads it by name)
    weight = pl.DataFrame({"x": np.arange(world.who.size), "w": world.friend_weight}).to_arrow()  # noqa: F841
    mine = pl.DataFrame({"v": viewers}).to_arrow()  # noqa: F841
    connection = duckdb.connect(config={"threads": 1})
    return connection.sql(f"""
        with two as (select f.viewer v, g.candidate c, sum(w.w) s from pairs f semi join mine on f.viewer = mine.v
          join weight w on w.x = f.candidate join pairs g on g.viewer = f.candidate
          where g.candidate <> f.viewer group by all)
        select * from two anti join pairs on two.v = pairs.viewer and two.c = pairs.candidate
        qualify row_number() over (partition by v order by s desc, c) <= {TOP}""").fetchall()


def by_polars(world: World, viewers: Any) -> Any:
    pairs = world.friends.pairs()
    weight = pl.DataFrame({"candidate": np.arange(world.who.size, dtype=np.int32), "w": world.friend_weight})
    mine = pairs.filter(pl.col("viewer").is_in(viewers.tolist())).join(weight, on="candidate")
    second = pairs.rename({"viewer": "candidate", "candidate": "c"})
    summed = mine.join(second, on="candidate").group_by("viewer", "c").agg(pl.col("w").sum())
    summed = summed.filter(pl.col("viewer") != pl.col("c")).join(
        pairs, left_on=["viewer", "c"], right_on=["viewer", "candidate"], how="anti"
    )
    ordered = summed.sort("viewer", "w", "c", descending=[False, True, False])
    return ordered.group_by("viewer", maintain_order=True).head(TOP)


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or [1_400_000, 7_000_000]
    rows: list[list[Any]] = []
    products: list[list[Any]] = []
    for size in sizes:
        frames = graph(size)
        config = FriendsSettings(ranker="fixed_weights")
        world, _ = build_world(Inputs(frames, {}, None, config, AS_OF))
        viewers = world.who.viewers
        adamic_adar(world, viewers[:10], 1)
        count = wedges(world, viewers)
        passes = [measured(partial(adamic_adar, world, viewers, 1))[1]["cpu"] for _ in range(3)]
        own = median(passes)
        name = f"{size:,} edges, {count / 1e6:.0f} M wedges"
        rows.append([name, "flowforge (one pass, filters on)", "all", f"{count / own / 1e6:.1f}", "1.00"])
        few = viewers[:: max(viewers.size // RIVAL_VIEWERS, 1)][:RIVAL_VIEWERS]
        some = wedges(world, few)
        rivals = {
            "sparse_dot_topn": by_sparse_dot_topn,
            "scipy": by_scipy,
            "DuckDB SQL": by_duckdb,
            "Polars": by_polars,
        }
        for rival, work in rivals.items():
            package = {"sparse_dot_topn": "sparse_dot_topn", "scipy": "scipy"}.get(rival)
            if package and importlib.util.find_spec(package) is None:
                rows.append([name, rival, "", "not installed", ""])
                continue
            cost = median([measured(partial(work, world, few))[1]["cpu"] for _ in range(3)])
            rows.append(
                [name, rival, f"{few.size}", f"{some / cost / 1e6:.1f}", f"{(count / own) / (some / cost):.1f}"]
            )
        if size <= 2_000_000:
            for ranker in ("fixed_weights", "learned"):
                settings = FriendsSettings(ranker=ranker)  # type: ignore[arg-type]
                result, cost_of = measured(partial(compute, Inputs(frames, {}, None, settings, AS_OF), Engine(2)))
                products.append([name, ranker, result.notes["ranker"], f"{cost_of['cpu']:.1f}", f"{own:.1f}",
                                 f"{cost_of['cpu'] / own:.1f}", f"{peak_mib():.0f}"])  # fmt: skip
                print(products[-1], flush=True)
        print(rows[-5:], flush=True)
    body = "\n\n".join([
        machine_facts("numpy", "numba", "polars", "duckdb"),
        "Exact Adamic-Adar top-20, friends excluded; CPU time, one thread, median of 3; rivals on a sample of viewers.",
        table(["graph", "way", "viewers", "M wedges / CPU s", "flowforge is × as fast"], rows),
        "The whole product on the same graph (all stages; of a learned run the training is included).",
        table(["graph", "setting", "ranker used", "CPU s", "AA pass CPU s", "ratio", "peak MiB"], products),
    ])  # fmt: skip
    write_section("Friend recommendations: engine", body)


if __name__ == "__main__":
    main()
