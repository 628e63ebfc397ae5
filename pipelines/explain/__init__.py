"""Why somebody gets what they get, recomputed on demand for one person (spec 06.5, ``flowforge explain``).

One module per product; each calls the product's own functions on the very tables that the live generation
was made of, for one viewer. No rule is written twice: what is here gathers, counts and words.
"""
