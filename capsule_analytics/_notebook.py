"""What objects show of themselves in a notebook: small cards that suit light and dark themes."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from capsule_analytics._words import currency_name, format_money
from capsule_analytics.schema import STATUSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capsule_analytics.projection import Projection
    from capsule_analytics.report import Figures
    from capsule_analytics.risk import Distribution
    from capsule_analytics.schema import Pipeline

# Colours are of the notebook: its text colour, thinned for lines.
_CARD = (
    "display:inline-block;border:1px solid rgba(128,128,128,.4);border-radius:6px;"
    "padding:8px 14px;line-height:1.5"
)
_CELL = "padding:1px 14px 1px 0;border:0;background:none"
_NUMBER = f"{_CELL};text-align:right;font-variant-numeric:tabular-nums"


def pipeline_card(pipeline: Pipeline) -> str:
    """Sum up a pipeline: account, day, deals by status, open amounts by currency, findings.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> "164 open, 216 won, 222 lost" in pipeline_card(ca.load_sample())
    True
    """
    # Only here: what shows figures is asked by what holds the deals.
    from capsule_analytics.report import figures_of  # noqa: PLC0415

    figures = figures_of(pipeline)
    counts = pipeline.opportunities["status"].value_counts()
    deals = ", ".join(f"{int(counts.get(status, 0)):,} {status}" for status in STATUSES)
    still = figures.standing[figures.standing["open_deals"] > 0]
    rows = [
        (
            currency_name(row["currency"]),
            f"{row['open_deals']:,}",
            format_money(row["open_value"], row["currency"], whole=True),
            format_money(row["weighted_value"], row["currency"], whole=True),
        )
        for row in still.to_dict("records")
    ]
    found = figures.severities
    words = {"error": "error", "warning": "warning", "info": "note"}
    findings = ", ".join(
        f"{found[name]:,} {word}{'' if found[name] == 1 else 's'}"
        for name, word in words.items()
        if name in found
    )
    return _card(
        pipeline.account or "Capsule account",
        f"as of {pipeline.as_of}",
        [deals, f"Data quality: {findings or 'no findings'}"],
        ("Open", "Deals", "TCV", "Weighted"),
        rows,
    )


def distribution_card(total: Distribution) -> str:
    """Sum up a distribution: its mean and spread, and its quantiles.

    Examples
    --------
    >>> from capsule_analytics.risk import distribution
    >>> "6,000.00" in distribution_card(distribution([10_000, 4_000], [0.5, 0.25], won=2_000))
    True
    """
    p10, p50, p90 = total.quantile([0.1, 0.5, 0.9])
    left_out = f", {total.left_out:,} left out" if total.left_out else ""
    figures = {"Mean": total.mean, "Std": total.std, "P10": p10, "P50": p50, "P90": p90}
    return _card(
        "Distribution of a total",
        f"{total.deals:,} open deals{left_out}",
        ["If every probability that was given is right."],
        tuple(figures),
        [tuple(f"{amount:,.2f}" for amount in figures.values())],
        names=False,
    )


def projection_card(model: Projection) -> str:
    """Sum up a projection: the coming quarter by month, what it stands on, and its track record.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> "Probably won" in projection_card(ca.projection.fit(ca.load_sample()))
    True
    """
    from capsule_analytics.projection import track_words  # noqa: PLC0415 - as above

    table = model.by_month(3)
    record = model.track_record()
    names = record["currency"].map(currency_name)
    told = [
        f"{currency}: {track_words(record[(names == currency).to_numpy(dtype=bool)])}"
        for currency in dict.fromkeys(table["currency"].map(currency_name))
    ]
    rows = [
        (
            f"{row['month']:%B %Y}, {currency_name(row['currency'])}",
            *(
                format_money(row[name], row["currency"], whole=True)
                for name in ("won_value", "expected_value", "p10", "p90")
            ),
        )
        for row in table.to_dict("records")
    ]
    return _card(
        model.account or "Capsule account",
        f"projection as of {model.as_of}",
        [str(model.basis), "P10 to P90 holds four of five outcomes.", *told],
        ("Probably won", "So far", "Expected", "P10", "P90"),
        rows,
    )


def figures_card(figures: Figures) -> str:
    """Sum up the figures of a report as it leads with them: the outlook and what needs someone.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> figures = ca.report.figures_of(ca.load_sample(), ca.report.Options(projection=False))
    >>> "need someone" in figures_card(figures)
    True
    """
    count = len(figures.needs)
    needs = "1 open deal needs someone" if count == 1 else f"{count:,} open deals need someone"
    rows = [
        (
            f"{period.name}, {one.name}",
            *(
                format_money(amount, one.currency, whole=True)
                for amount in (period.won, period.expected, period.low, period.high)
            ),
        )
        for one in figures.outlook
        for period in (one.month, one.quarter)
    ]
    return _card(
        figures.pipeline.account or "Capsule account",
        f"report as of {figures.pipeline.as_of}",
        [*(one.sentence for one in figures.outlook[:1]), needs],
        ("Probably won", "So far", "Expected", "P10", "P90"),
        rows,
    )


def _card(
    title: str,
    about: str,
    lines: Sequence[str],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    names: bool = True,
) -> str:
    """Lay out a card; everything is escaped here, and only here."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f'<{tag} style="{_CELL if names and place == 0 else _NUMBER}">{escape(text)}</{tag}>'
            for place, text in enumerate(cells)
        )

    told = "".join(f"<div>{escape(text)}</div>" for text in lines)
    body = "".join(f'<tr style="background:none">{line("td", row)}</tr>' for row in rows)
    table = (
        f'<table style="border:0;margin:4px 0 0;background:none"><thead><tr>{line("th", header)}'
        f"</tr></thead><tbody>{body}</tbody></table>"
    )
    return (
        f'<div style="{_CARD}"><div><strong>{escape(title)}</strong> '
        f'<span style="opacity:.7">{escape(about)}</span></div>{told}{table if rows else ""}</div>'
    )
