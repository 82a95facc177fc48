"""What a certificate says about stopped and resumed trainings, as tables and sentences."""

from __future__ import annotations

from tfm.core.events import Table
from tfm.core.runs.certificate import Certificate

_SHOWN_DIGITS = 16  # of a SHA-256


def tabulate_kills(certificate: Certificate) -> Table:
    rows = [
        [str(number), kill.place, kill.checkpoint, kill.continued_from]
        for number, kill in enumerate(certificate.kills, start=1)
    ]
    repeated = f"; {certificate.misses} more fell outside and were repeated" if certificate.misses else ""
    caption = f"{certificate.training}. Every kill fell inside the work{repeated}."
    return Table("Killed with kill -9", ["kill", "during", "checkpoint", "went on from"], rows, caption)


def tabulate_digests(certificate: Certificate) -> Table:
    rows = [
        [one.part, one.undisturbed[:_SHOWN_DIGITS], one.killed[:_SHOWN_DIGITS], one.differing or "equal"]
        for one in certificate.digests
    ]
    return Table("SHA-256 of the results", ["part", "undisturbed", "killed, resumed", "comparison"], rows)


def tabulate_figures(certificate: Certificate) -> Table:
    figures = certificate.figures
    low, high = figures.determinism_range
    rows = [
        ["images a second in training", f"{figures.images_per_second:.1f}", figures.network],
        [
            "deterministic against other steps",
            f"{figures.determinism_cost:.2f} ×",
            f"{low:.2f} to {high:.2f} in {figures.pairs} pairs",
        ],
        [
            "fsync of a small file",
            f"{figures.sync_milliseconds:.1f} ms",
            f"at most {figures.slowest_sync_milliseconds:.1f} ms",
        ],
    ]
    return Table("Pace of this machine", ["what", "median", "details"], rows)


def describe_outcome(certificate: Certificate) -> str:
    facts = certificate.machine
    where = (
        f"{certificate.date[:10]} on {facts['host']} ({facts['device_name']}, Python {facts['python']}, "
        f"PyTorch {facts['torch']})"
    )
    if certificate.is_proven:
        return (
            f"Proven on {where}: a training that was killed {len(certificate.kills)} times and resumed ended with the "
            "same bits as an undisturbed one."
        )
    differing = ", ".join(one.part for one in certificate.digests if one.differing)
    return (
        f"Not reproducible on {where}: a training that was killed {len(certificate.kills)} times and resumed ended "
        f"differently from an undisturbed one. What differs: {differing}."
    )
