"""The pages for people: rendered here with Jinja2, without scripts but for one of ours that a page can do without.

`frame` makes an answer of a template and typed data; `language` has the texts; each page is one file.
"""
