"""Go's text/template: lexer, parser, interpreter, fmt, time. The language alone, without Prometheus' functions."""
