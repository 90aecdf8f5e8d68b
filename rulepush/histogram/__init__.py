"""Native histograms: the value and its arithmetic, pure. Source: Prometheus 3.14, model/histogram and promql.

- `histogram`: FloatHistogram, immutable; `*`, `/`, `==`, compaction.
- `buckets`: Buckets, the two arrays of one side; spans and deltas of wire formats.
- `schema`: schemas and bounds.
- `adding`: `add`, `subtract`, `kahan_add`, with what is to be said of them.
- `summing`: `kahan_sum` of many at once.
- `resolution`: less resolution, greater zero buckets, limits of scrapes.
- `resets`: `detect_reset`.
- `iteration`: buckets with their bounds, in either direction.
- `trim`: `</` and `>/`.
- `statistics`: quantile, fraction, average, deviation.
- `text`, `literal`: as text, JSON and literals of scripts and rule tests.
- `classic`: custom buckets from classic histograms, and back.
- `validate`: whether one contradicts itself.
- `boxes`, `sample`: histograms among floats. These two load none of the others, for every run has them.
"""
