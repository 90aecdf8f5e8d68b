"""The protobuf exposition: io.prometheus.client.MetricFamily messages, each after its length. Pure.

To be imported only when a target or a push speaks it: it needs the protobuf library.

- `delimited`: the families of a body, and their metrics one by one.
- `translate`: a body as lines of text, for scrapes, which know lines; native histograms apart.
- `native`: native histograms of messages.
"""
