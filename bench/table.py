"""Figures: what was measured, beside what, in one run; as a table and as JSON."""
import json
import statistics


def spread(samples):
    """median, least, greatest"""
    return statistics.median(samples), min(samples), max(samples)


def show(value):
    if value == 0:
        return "0"
    if abs(value) >= 10000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class Figure:
    """One row: banger's samples beside one peer's. `ratio_max` and `most` are targets."""

    def __init__(self, name, unit, ours, peer=None, theirs=None, missing=None, ratio_max=None,
                 most=None, more_is_better=False, note=""):
        self.name, self.unit, self.note = name, unit, note
        self.ours, self.peer, self.theirs = ours, peer, theirs
        self.missing = missing  # why there are no samples of the peer, or none at all
        self.ratio_max, self.most, self.more_is_better = ratio_max, most, more_is_better

    def ratio(self):
        """How many times the peer's cost banger's is: under 1 is better, whatever the unit."""
        if not self.ours or not self.theirs or statistics.median(self.theirs) == 0:
            return None
        ratio = statistics.median(self.ours) / statistics.median(self.theirs)
        if self.more_is_better:
            return 1 / ratio if ratio else None
        return ratio

    def target(self):
        words = []
        if self.ratio_max is not None:
            words.append(f"ratio <= {self.ratio_max:g}")
        if self.most is not None:
            words.append(f"<= {self.most:g} {self.unit}")
        return ", ".join(words)

    def reached(self):
        """True, False, or None where there is no target or nothing to judge by."""
        if not self.ours or (self.ratio_max is None and self.most is None):
            return None
        if self.ratio_max is not None and self.ratio() is None:
            return None
        good = self.most is None or statistics.median(self.ours) <= self.most
        return good and (self.ratio_max is None or self.ratio() <= self.ratio_max)

    def as_json(self):
        def side(samples):
            if not samples:
                return None
            median, low, high = spread(samples)
            return {"median": median, "min": low, "max": high, "samples": samples}

        return {"name": self.name, "unit": self.unit, "banger": side(self.ours), "peer": self.peer,
                "peer_figures": side(self.theirs), "not_measured": self.missing,
                "ratio": self.ratio(), "target": self.target() or None, "reached": self.reached(),
                "note": self.note or None}

    def cells(self):
        def side(samples):
            if not samples:
                return "-"
            median, low, high = spread(samples)
            return show(median) + (f" ({show(low)}..{show(high)})" if len(samples) > 1 else "")

        ratio, reached = self.ratio(), self.reached()
        theirs = f"{self.peer}: {side(self.theirs)}" if self.theirs else self.peer or ""
        return [self.name, self.unit, side(self.ours), theirs,
                "" if ratio is None else f"{ratio:.2f}", self.target(),
                {True: "yes", False: "MISSED", None: ""}[reached]]


HEAD = ["what", "unit", "banger (min..max)", "peer (min..max)", "ratio", "target", "reached"]


def print_table(figures):
    rows = [HEAD] + [f.cells() for f in figures]
    widths = [max(len(r[i]) for r in rows) for i in range(len(HEAD))]
    print()
    for r in rows:
        print("  ".join(c.ljust(w) for c, w in zip(r, widths)).rstrip())
    print("\nratio: banger's cost over the peer's, medians of one run; under 1 is cheaper.")
    for f in figures:
        if f.note:
            print(f"- {f.name}: {f.note}")
    missing = [f for f in figures if f.missing]
    if missing:
        print("\nnot measured:")
    for f in missing:
        print(f"- {f.name}{', ' + f.peer if f.peer else ''}: {f.missing}")


def write_json(path, figures, facts):
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"facts": facts, "figures": [f.as_json() for f in figures]}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
