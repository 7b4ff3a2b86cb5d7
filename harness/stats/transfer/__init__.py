"""How far a gain carries: the gain on each of several tasks, and against that on the first, with intervals and tests.

A gain is the mean over a task's questions of tuned minus base. Where questions were made from one template or seed
question they are a cluster, and so not independent: the standard error is then from the clusters' sums (CR1), and the
quantile is t's with one less degree of freedom than clusters,

    SE² = G/(G - 1) · Σ_g (Σ_{i in g} (d_i - mean))² / n².

With one question a cluster that is the usual standard error. Otherwise interval and p of a gain are those of
harness.stats.paired, p being the larger of its two, as a finding takes both, and never narrower where few questions
changed. Several training seeds: the parts of the variance are added with their own quantiles, as in
harness.stats.seeds, the questions' being t's of the clusters.

The difference of two gains: the questions of two tasks are taken as independent, their trainings are the same, so that
its variance has three parts: questions here, questions there, and the seeds' differences of the two gains. Its interval
adds the squares of the parts, each with its own quantile; p is the level at which that interval touches 0. Where a rule
for few changes made a gain's interval wider, its standard error counts as what that width stands for.

Holm's correction is over the tasks after the first, once for their gains and once for their differences from the first.

Sources: Liang and Zeger 1986 and Cameron and Miller 2015 (CR1), Miller 2024, arXiv 2411.00640 (clustered questions),
Howe 1974 (squares added), Holm 1979.
"""

from harness.stats.transfer.gains import (
    CARRIES,
    HURTS,
    LESS,
    UNDETECTED,
    Gain,
    GainDifference,
    against,
    detectable,
    gain,
    verdict,
)
from harness.stats.transfer.variance import Part, clustered_se, half_width, touching

__all__ = [
    "CARRIES",
    "HURTS",
    "LESS",
    "UNDETECTED",
    "Gain",
    "GainDifference",
    "Part",
    "against",
    "clustered_se",
    "detectable",
    "gain",
    "half_width",
    "touching",
    "verdict",
]
