"""How fast, beside the plain way: one file a row of the table in docs/speed.md.

    python -m benchmarks                        what there is
    python -m benchmarks.throughput --rounds 5  one of them
    python -m benchmarks --all                  all of them, and docs/speed.md from what came out
    python -m benchmarks render                 docs/speed.md from the results that are there

`pairs` measures both sides in turn and keeps what came out, `page` renders it; `commands`, `sides`, `step`
and `encode` are the processes that are measured.
"""
