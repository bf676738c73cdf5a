"""Put what was measured, results/bench/bench.json, into the table of docs/performance.md.

python tests/bench/table.py
"""

import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "workflow" / "scripts"))

from tymbal.files import read_json, write_text  # noqa: E402

PAGE = REPO / "docs" / "performance.md"
BEGIN, END = "<!-- table: python tests/bench/table.py -->", "<!-- end of the table -->"
HEAD = "| figure | value | unit | compared with | ratio | goal | threads | n |\n|---|---|---|---|---|---|---|---|"


def main() -> None:
    """Replace what is between the marks."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    table = tables(read_json(REPO / "results" / "bench" / "bench.json"))
    write_text(PAGE, f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")


def tables(entries: list[dict[str, Any]]) -> str:
    """A table for each machine, day and commit."""
    rows: dict[str, list[str]] = {}
    for entry in entries:
        title = f"{entry['machine']}; {entry['date']}, commit {entry['commit']}:"
        rows.setdefault(title, []).append(row(entry))
    return "\n\n".join("\n".join([title, "", HEAD, *lines]) for title, lines in rows.items())


def row(entry: dict[str, Any]) -> str:
    """A line of the table."""
    value, baseline, ratio = (
        "" if entry[key] is None else f"{entry[key]:,g}" for key in ("value", "baseline", "ratio")
    )
    goal = f"{entry['goal']}: {'reached' if entry['reached'] else 'missed'}" if entry["goal"] else ""
    cells = f"`{entry['name']}`", value, entry["unit"], baseline, ratio, goal, entry["threads"], entry["repeats"]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
