"""Pictures of a piece of evidence: `gallery.py` has them all, `numbers.py` what they draw, `of_...` how it is drawn.

Nothing here enters a verdict. matplotlib is imported only when something is drawn.
"""
