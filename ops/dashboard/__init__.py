"""What an owner looks at: views made of the lab's files alone, as a web page and in a terminal.

Nothing here takes a lock, asks a network or needs a lab that lives. Facts are read from files into frozen values, a
view is made of them by a pure function, and `html.py` and `terminal.py` are two ways to write the same view.
"""
